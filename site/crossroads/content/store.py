"""Content store: loaded at start, reloaded on change in development."""

import hashlib
import os
from collections.abc import Hashable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

from crossroads import content
from crossroads.content import Content, ContentError


class ContentStore:
    """Content and static files, both read once, so that the site stays of one piece.

    With `watch` (development) refresh() reads them again when a file has changed: called before
    every request, it lets an edit show on the next reload.
    """

    def __init__(self, folder: Path, static: Path, templates: Path, *, watch: bool) -> None:
        self._folder = folder
        self._static = static
        self._templates = templates
        self.watch = watch  # may be changed at any time
        self._lock = Lock()
        self._stamp: Hashable = self._look() if watch else 0
        self._content: Content | ContentError | None = content.load(folder)
        self._files = _read_files(static)
        self._digest = _digest(self._files)

    def refresh(self) -> Hashable:
        """Check the files for changes; return a value that changes with them.

        Outside development nothing is checked and the value is constant.
        """
        if not self.watch:
            return 0
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._content = None
                self._files = _read_files(self._static)
                self._digest = _digest(self._files)
            return stamp

    @property
    def content(self) -> Content:
        """The content as last refreshed. Raises ContentError if it cannot be used."""
        with self._lock:
            # A mistake is stored like content: found once, reported on each page.
            if self._content is None:
                self._content = _read(self._folder)
            found = self._content
        if isinstance(found, ContentError):
            raise found
        return found

    @property
    def digest(self) -> str:
        """A short digest of all static files, part of their addresses."""
        return self._digest

    @property
    def addresses(self) -> frozenset[str]:
        """The path of every static file."""
        return frozenset(f"/static/{self._digest}/{name}" for name in self._files)

    def file(self, name: str) -> bytes | None:
        """Return a static file by its path below the folder, or None."""
        return self._files.get(name)

    def _look(self) -> Hashable:
        others = tuple(
            (file.path, status.st_mtime_ns, status.st_size)
            for folder in (self._static, self._templates)
            for file, status in _files(folder)
        )
        return content.stamp(self._folder), others


def _read(folder: Path) -> Content | ContentError:
    try:
        return content.load(folder)
    except ContentError as error:
        return error


def _files(folder: Path | str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            try:
                if entry.is_dir():
                    yield from _files(entry.path)
                else:
                    yield entry, entry.stat()
            except OSError:  # an editor is replacing it
                continue


def _read_files(folder: Path) -> dict[str, bytes]:
    files = {}
    for file, _ in _files(folder):
        with suppress(OSError):
            path = Path(file.path)
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return files


def _digest(files: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, data in files.items():
        total.update(name.encode())
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:12]
