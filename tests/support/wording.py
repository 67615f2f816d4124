"""Finds words that make a sentence hard to read: python -m tests.support.wording.

`wording.txt` beside this file has one word or phrase a line, a tab, and the plainer one. After
another tab, `screen` says that it is kept out of pages, mails and docs, not yet out of code.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LIST: Final = Path(__file__).with_suffix(".txt")
# What a visitor, a colleague or a contributor reads. Legal texts and the first comparison are the
# owner's words.
READ: Final = ("templates", "site/content", "site/crossroads", "site/sandbox", "models", "docs",
               "*.md", "Makefile", ".ci")  # fmt: skip
OWNERS: Final = ("site/content/comparisons/",)
KINDS: Final = {"", ".css", ".html", ".md", ".py", ".txt", ".yaml"}
SCREEN: Final = {".html", ".md", ".txt"}
BETWEEN: Final = r"(?:\s|\#)+"  # a phrase may go on in the next line of a comment


def plainer(*, screen: bool = True) -> dict[str, str]:
    """Return each word with the plainer one, with or without those of the screen."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {word: instead for word, instead, *where in rows if screen or not where}


def pattern(words: Mapping[str, str]) -> re.Pattern[str]:
    """Return what finds any of these words, whole ones alone, in capitals too."""
    phrases = (BETWEEN.join(map(re.escape, word.split())) for word in words)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(phrases)})(?![\w-])", re.IGNORECASE)


def found(name: str, text: str, words: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each of these words in a text: where it is, and what to write."""
    for hit in pattern(words).finditer(text):
        line = text.count("\n", 0, hit.start()) + 1
        word = re.sub(BETWEEN, " ", hit[0]).lower()
        yield f'{name}:{line}: "{word}": write {words[word]}'


def problems() -> Iterator[str]:
    """Yield what is found in the files that git knows."""
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
