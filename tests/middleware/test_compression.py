"""Compressed pages are kept for the next start; a damaged file never changes a page."""

import gzip
from pathlib import Path

import brotli

from crossroads.middleware.compression import compressed, digest, load, store

BODIES = (b"<p>one page</p>" * 200, b"<p>another</p>" * 200)


def test_kept_pages_are_equal_to_the_compressed_ones(tmp_path: Path) -> None:
    file = tmp_path / "compressed.zip"
    assert load(file) == {}
    store(file, [(body, compressed(body)) for body in BODIES])
    found = load(file)
    assert found.keys() == {digest(body) for body in BODIES}
    for body in BODIES:
        made = found[digest(body)]
        assert brotli.decompress(made["br"]) == gzip.decompress(made["gzip"]) == body
    store(file, [(BODIES[0], compressed(BODIES[0]))])
    assert load(file).keys() == {digest(BODIES[0])}  # the former pages are dropped
    assert list(tmp_path.iterdir()) == [file]


def test_damaged_file_never_changes_a_page(tmp_path: Path) -> None:
    file = tmp_path / "compressed.zip"
    store(file, [(BODIES[0], compressed(BODIES[0]))])
    whole, right = file.read_bytes(), load(file)
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        for of, made in load(file).items():
            if of in right:
                assert made.items() <= right[of].items(), f"byte {place}"
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert load(file) == {}


def test_unwritable_folder_raises_no_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    store(in_the_way / "compressed.zip", [(BODIES[0], compressed(BODIES[0]))])
    assert load(in_the_way / "compressed.zip") == {}
