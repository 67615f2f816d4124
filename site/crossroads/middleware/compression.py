"""Compresses bodies and stores the results for the next start, because compression is slow."""

import gzip
import hashlib
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import brotli

Compressed = dict[str, bytes]  # by encoding


@lru_cache(maxsize=256)  # most pages do not change
def compressed(body: bytes) -> Compressed:
    """Return the body in each encoding, at the highest compression level."""
    return {"br": brotli.compress(body, quality=11), "gzip": gzip.compress(body, 9, mtime=0)}


def load(file: Path) -> dict[str, Compressed]:
    """Return the compressed bodies stored in a file, by the digest of the original body.

    Empty when the file is missing or damaged: each entry has a checksum.
    """
    found: dict[str, Compressed] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                of, _, encoding = name.partition(".")
                found.setdefault(of, {})[encoding] = archive.read(name)
    except Exception:
        return {}
    return found


def store(file: Path, all_of_them: Iterable[tuple[bytes, Compressed]]) -> None:
    """Replace the file with these compressed bodies. Does nothing if it cannot be written."""
    draft = file.with_suffix(".new")
    with suppress(OSError):
        with zipfile.ZipFile(draft, "w") as archive:
            for body, made in all_of_them:
                for encoding, data in made.items():
                    archive.writestr(f"{digest(body)}.{encoding}", data)
        draft.replace(file)


def digest(body: bytes) -> str:
    """Return the SHA-256 of a body in hex."""
    return hashlib.sha256(body).hexdigest()
