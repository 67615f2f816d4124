"""A copy of the real content, for tests that break it."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from crossroads.content import Content, ContentError, load

REAL = Path(__file__).parents[2] / "site" / "content"
PAGE = "comparisons/ai-product-manager-vs-traditional-product-manager.yaml"
PAGE_SLUG = Path(PAGE).stem
COURSE = "courses/ai-pm-bootcamp.yaml"
TODAY = date(2026, 11, 22)


def rewrite(file: Path, text: str) -> None:
    """Replace a file as a whole, as editors do: another thread never reads an empty file.

    Jinja takes a template that it reads while the file is empty for current, if the file gets its
    text within the resolution of the file's time.
    """
    draft = file.with_suffix(".draft")
    draft.write_text(text, "utf-8")
    draft.replace(file)


class Folder:
    """A copy of the content folder, with edits that replace a text.

    It has only the first comparison and the first course: the owner may change the others.
    """

    def __init__(self, parent: Path) -> None:
        self.path = Path(shutil.copytree(REAL, parent / "site" / "content"))
        for file in self.path.glob("c*/*.yaml"):
            if file.relative_to(self.path).as_posix() not in (PAGE, COURSE):
                file.unlink()

    def text(self, file: str) -> str:
        return (self.path / file).read_text("utf-8")

    def write(self, file: str, text: str) -> None:
        (self.path / file).write_text(text, "utf-8")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the first occurrence of a text."""
        text = self.text(file)
        assert old in text
        self.write(file, text.replace(old, new, 1))

    def line(self, file: str, words: str) -> int:
        """Return the number, from 1, of the first line that contains the words."""
        text = self.text(file)
        return text[: text.index(words)].count("\n") + 1

    def read(self) -> Content:
        return load(self.path, today=TODAY)

    def problems(self) -> list[str]:
        """Load the content, expecting mistakes, and return them."""
        with pytest.raises(ContentError) as caught:
            self.read()
        return [str(problem) for problem in caught.value.problems]
