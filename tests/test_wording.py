"""The words that are kept out, and the check that finds them."""

import subprocess
import sys

import pytest

from tests.support.wording import ROOT, found, plainer, problems

WORDS = {"mend": "fix", "for ever": "how long"}


def test_no_word_of_the_list_is_in_what_people_read() -> None:
    assert list(problems()) == []


def test_word_of_the_screen_may_still_be_in_code() -> None:
    assert plainer(screen=False).items() < plainer().items()


def test_every_word_of_the_list_has_a_plainer_one() -> None:
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
def test_other_words_that_hold_one_are_left_alone(text: str) -> None:
    assert list(found("page.html", text, WORDS)) == []


def test_command_says_nothing_when_all_is_well() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.wording"], cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
