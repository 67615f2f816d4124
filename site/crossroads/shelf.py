"""The content and static files as the running site has them; in development, as they are now."""

import hashlib
from collections.abc import Hashable
from pathlib import Path
from threading import Lock

from flask import current_app

from crossroads import content
from crossroads.content import Content


class Shelf:
    """Content read once, and the digest of the static files, both for as long as `stamp` stays.

    With `watch` (development) the files are looked at again for every page: an edit shows on
    the next reload. Reading raises ContentError while a file has mistakes.
    """

    def __init__(self, folder: Path, static: Path, templates: Path, *, watch: bool) -> None:
        self._folder = folder
        self.static = static
        self._templates = templates
        self._watch = watch
        self._lock = Lock()
        self._stamp = self.stamp()
        self._content: Content | None = content.read(folder)
        self._digest = _digest(static)

    def stamp(self) -> Hashable:
        """Return a value that changes when a file does; always the same unless watching."""
        if not self._watch:
            return 0
        others = tuple(
            (str(file), file.stat().st_mtime_ns, file.stat().st_size)
            for folder in (self.static, self._templates)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        )
        return content.stamp(self._folder), others

    @property
    def content(self) -> Content:
        """The content as it is now. Raises ContentError if it cannot be used."""
        self._refresh()
        if self._content is None:
            self._content = content.read(self._folder)
        return self._content

    @property
    def digest(self) -> str:
        """A short name for the present state of all static files, part of their addresses."""
        self._refresh()
        return self._digest

    def _refresh(self) -> None:
        if not self._watch:
            return
        with self._lock:
            stamp = self.stamp()
            if stamp != self._stamp:
                self._stamp = stamp
                self._content = None
                self._digest = _digest(self.static)


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            total.update(file.relative_to(folder).as_posix().encode())
            total.update(file.read_bytes())
    return total.hexdigest()[:12]


def current_shelf() -> Shelf:
    """Return the shelf of the running app."""
    shelf: Shelf = current_app.extensions["crossroads.shelf"]
    return shelf


def current_content() -> Content:
    """Return the content of the running app. Raises ContentError if it cannot be used."""
    return current_shelf().content
