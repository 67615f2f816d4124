"""Share images: drawn from the text of a page, and only when that text changes."""

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossroads.content import Content, share_images
from crossroads.content.share_images import Box
from tests.support.content_files import PAGE_SLUG, Folder

COMPARISON = f"compare/{PAGE_SLUG}.png"
COURSE = "courses/ai-pm-bootcamp.png"


@pytest.fixture
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    return Folder(tmp_path_factory.mktemp("content")).read()


def _size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _retitled(content: Content, title: str) -> Content:
    comparison = content.comparisons[0].model_copy(update={"title": title})
    return content.model_copy(update={"comparisons": (comparison,)})


def test_each_page_with_its_own_text_gets_an_image(content: Content, tmp_path: Path) -> None:
    drawn = share_images.write(content, tmp_path)
    assert {file.relative_to(tmp_path).as_posix() for file in drawn} == {
        "site.png",
        COMPARISON,
        COURSE,
    }
    assert {_size(file.read_bytes()) for file in drawn} == {(1200, 630)}


def test_unchanged_page_is_not_drawn_again(content: Content, tmp_path: Path) -> None:
    share_images.write(content, tmp_path)
    assert share_images.write(content, tmp_path) == []


def test_changed_title_redraws_only_its_image(content: Content, tmp_path: Path) -> None:
    share_images.write(content, tmp_path)
    before = (tmp_path / COMPARISON).read_bytes()
    drawn = share_images.write(_retitled(content, "Data Scientist vs Data Analyst"), tmp_path)
    assert drawn == [tmp_path / COMPARISON]
    assert (tmp_path / COMPARISON).read_bytes() != before


def test_missing_image_is_drawn_again(content: Content, tmp_path: Path) -> None:
    share_images.write(content, tmp_path)
    (tmp_path / COURSE).unlink()
    assert share_images.write(content, tmp_path) == [tmp_path / COURSE]


def test_broken_digest_file_redraws_all_images(content: Content, tmp_path: Path) -> None:
    share_images.write(content, tmp_path)
    (tmp_path / "drawn.json").write_text("{")
    assert len(share_images.write(content, tmp_path)) == 3


def test_image_of_a_deleted_page_is_deleted(content: Content, tmp_path: Path) -> None:
    share_images.write(content, tmp_path)
    share_images.write(content.model_copy(update={"courses": ()}), tmp_path)
    assert not (tmp_path / COURSE).exists()
    assert not list(tmp_path.rglob("*.part"))


def test_title_is_drawn_and_its_markup_is_plain_text(content: Content) -> None:
    def draw(title: str) -> bytes:
        return share_images.draw_comparison(_retitled(content, title).comparisons[0], "Brand")

    assert draw("A vs B") != draw("A vs C"), "the font was not found"
    assert draw('<text>A</text> & "B" vs C') != draw("A vs C")


@given(
    parts=st.lists(
        st.lists(st.text("AWilmqzö…漢-&<", min_size=1), min_size=1).map(" ".join),
        min_size=1,
        max_size=2,
    ),
    width=st.integers(100, 1072),
    height=st.integers(40, 300),
)
def test_text_lines_stay_inside_their_box(parts: list[str], width: int, height: int) -> None:
    block = share_images.fit(parts, Box(width, height, 10, range(96, 35, -4), middle=True))
    assert block.lines
    for line in block.lines:
        assert 10 < line.y <= 10 + height
    words = "".join(line.text for line in block.lines)
    whole = "".join(parts).replace(" ", "")
    assert whole.startswith(words.replace(" ", "").removesuffix("…"))


def test_widest_title_stays_inside_the_margins(content: Content) -> None:
    comparison = _retitled(content, "W" * 300).comparisons[0]
    rows = _rows(share_images.draw_comparison(comparison, "Brand"), 420)[120:]
    columns = (*range(0, 60 * 4, 4), *range(1140 * 4, 1200 * 4, 4))
    margins = {row[at : at + 4] for row in rows for at in columns}
    assert margins == {bytes.fromhex("f9fbf7ff")}


def _rows(png: bytes, count: int) -> list[bytes]:
    """Unpack the first rows of an RGBA picture: https://www.w3.org/TR/png-3/#9Filters."""
    assert png[24:26] == bytes((8, 6)), "eight bits, RGBA"
    packed, at = b"", 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += length + 12
    data, width = zlib.decompress(packed), 4800
    rows, above = [], bytes(width)
    for y in range(count):
        method, row = data[y * (width + 1)], bytearray(data[y * (width + 1) + 1 :][:width])
        for i in range(width) if method else ():
            left, up, corner = (row[i - 4], above[i], above[i - 4]) if i > 3 else (0, above[i], 0)
            near = left + up - corner
            paeth = min((left, up, corner), key=lambda value: abs(near - value))
            row[i] = (row[i] + (0, left, up, (left + up) // 2, paeth)[method]) & 255
        above = bytes(row)
        rows.append(above)
    return rows
