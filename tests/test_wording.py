"""The list of words to avoid, and the check that finds them."""

import subprocess
import sys

import pytest

from tests.support.wording import ROOT, found, plainer, problems

WORDS = {"mend": "fix", "for ever": "how long"}


def test_no_listed_word_is_in_texts_for_readers() -> None:
    assert list(problems()) == []


def test_code_has_fewer_listed_words_than_screen_text() -> None:
    assert plainer(screen=False).items() < plainer().items()


def test_every_listed_word_has_a_plainer_one() -> None:
    words = plainer()
    assert len(words) >= 20
    assert all(word == word.lower() and instead for word, instead in words.items())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Fine.\nMend this line.", 2),
        ("# it waits for\n    # ever, or so", 1),
        ("<p>to mend it</p>", 1),
    ],
)
def test_word_is_found_with_its_line(text: str, line: int) -> None:
    (said,) = found("page.html", text, WORDS)
    assert said.startswith(f"page.html:{line}: ")
    assert said.endswith(("write fix", "write how long"))


@pytest.mark.parametrize("text", ["an amendment", "mend-it", "for everyone", "recommended"])
def test_longer_words_that_contain_a_listed_word_are_accepted(text: str) -> None:
    assert list(found("page.html", text, WORDS)) == []


def test_command_prints_no_error_when_no_word_is_found() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.wording"], cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
