"""Find words that make a sentence hard to read: python -m tests.support.wording.

`wording.txt` beside this file has one entry per line: a word or phrase, a tab, and the plainer
one. After another tab, `screen` limits the entry to pages, mails and docs.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LIST: Final = Path(__file__).with_suffix(".txt")
# Texts for visitors, staff and contributors, except legal texts and the first comparison, which
# belong to the owner.
READ: Final = ("templates", "site/content", "site/crossroads", "site/sandbox", "models", "docs",
               "*.md", "Makefile", ".ci")  # fmt: skip
OWNERS: Final = ("site/content/comparisons/",)
KINDS: Final = {"", ".css", ".html", ".md", ".py", ".txt", ".yaml"}
SCREEN: Final = {".html", ".md", ".txt"}
BETWEEN: Final = r"(?:\s|\#)+"  # a phrase may continue in the next line of a comment


def plainer(*, screen: bool = True) -> dict[str, str]:
    """Return each listed word with the plainer one, with or without those for the screen."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {word: instead for word, instead, *where in rows if screen or not where}


def pattern(words: Mapping[str, str]) -> re.Pattern[str]:
    """Return a pattern that finds any of these words as whole words, in any case."""
    phrases = (BETWEEN.join(map(re.escape, word.split())) for word in words)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(phrases)})(?![\w-])", re.IGNORECASE)


def found(name: str, text: str, words: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each listed word in a text, with its place and the plainer word."""
    for hit in pattern(words).finditer(text):
        line = text.count("\n", 0, hit.start()) + 1
        word = re.sub(BETWEEN, " ", hit[0]).lower()
        yield f'{name}:{line}: "{word}": write {words[word]}'


def problems() -> Iterator[str]:
    """Yield the findings in the files tracked by git."""
    everywhere, on_screen = plainer(screen=False), plainer()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *READ],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if file.suffix in KINDS and file.is_file() and not name.startswith(OWNERS):
            words = on_screen if file.suffix in SCREEN else everywhere
            yield from found(name, file.read_text(encoding="utf-8"), words)


if __name__ == "__main__":
    sys.exit("\n".join(problems()) or None)
