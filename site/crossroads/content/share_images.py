"""Draws the pictures for shared links: PNG, with the words of the page."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final, NamedTuple

import resvg_py
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from crossroads.content import Comparison, Content, Course, Site

SIZE: Final = (1200, 630)  # width and height in pixels: https://ogp.me/#structured

_ROOT: Final = Path(__file__).resolve().parents[3]
_FONTS: Final = [
    str(_ROOT / "site" / "static" / "fonts" / f"familjen-grotesk-{weight}.ttf")
    for weight in (400, 700)
]
_DIGESTS: Final = "drawn.json"

_TIGHT: Final = -0.035  # em between the letters of a title, as in site.css
_LOOSE: Final = 1.25  # line height of running text, in em

# Widths of the letters in em, rounded up, so that no line ends up longer than reckoned.
_WIDTHS: Final = {
    letter: width
    for width, letters in {
        0.25: " ',.’",
        0.3: "!-:;IJijl|",
        0.4: "()/[\\]ft{}*r",
        0.5: '"?L`syz',
        0.55: "EFcekovx",
        0.6: "#$+0123456789<=>PSTYZ^_abdghnpqu~–…",
        0.65: "ABCDKRVX",
        0.75: "GHOQU&N",
        0.85: "%@mw",
        0.95: "MW—",
    }.items()
    for letter in letters
}
_OTHER: Final = 0.95


class Line(NamedTuple):
    """One line of text: its words, the height of its baseline, and whether it stands back."""

    text: str
    y: int
    soft: bool


class Block(NamedTuple):
    """Lines of one size in pixels, with their letters set apart by `spacing` pixels."""

    size: int
    spacing: float
    lines: tuple[Line, ...]


class Box(NamedTuple):
    """Where words may go, in pixels, and how they are set: both spacings in em.

    Words begin at the top, or stand in the middle.
    """

    width: int
    height: int
    top: int
    sizes: Sequence[int]
    spacing: float = 0
    leading: float = 1
    middle: bool = False


def draw_comparison(comparison: Comparison, brand: str) -> bytes:
    """Draw the title over the score, with the side that is ahead marked."""
    return _png(_comparison_svg(comparison, brand))


def draw_course(course: Course, brand: str) -> bytes:
    """Draw the title and the promise over the length of the course."""
    return _png(_course_svg(course, brand))


def draw_site(site: Site) -> bytes:
    """Draw the picture of every page that has none of its own."""
    return _png(_site_svg(site))


def write(content: Content, folder: Path) -> list[Path]:
    """Draw what has changed since last time into `folder`, drop what is gone; return the new.

    compare/<slug>.png, courses/<slug>.png and site.png. A reader never sees half a picture, and
    two runs at once do no harm.
    """
    old = _digests(folder / _DIGESTS)
    new: dict[str, str] = {}
    drawn: list[Path] = []
    for name, svg in _svgs(content):
        new[name] = _digest(svg)
        target = folder / name
        if old.get(name) != new[name] or not target.is_file():
            _replace(target, _png(svg))
            drawn.append(target)
    for name in old.keys() - new.keys():
        (folder / name).unlink(missing_ok=True)
    if old != new:
        _replace(folder / _DIGESTS, json.dumps(new, indent=1).encode())
    return drawn


def current(content: Content, folder: Path, name: str) -> Path | bytes | None:
    """Return the picture of a page as it is now, drawn first if need be; None for no page's name.

    The file, or the bytes where the folder cannot be written, as on a full disk.
    """
    svg = next((svg() for one, svg in _pages(content) if one == name), None)
    if svg is None:
        return None
    digest = _digest(svg)
    known = _digests(folder / _DIGESTS)
    target = folder / name
    if known.get(name) == digest and target.is_file():
        return target
    png = _png(svg)
    try:
        _replace(target, png)
        _replace(folder / _DIGESTS, json.dumps({**known, name: digest}, indent=1).encode())
    except OSError:
        return png
    return target


def missing(content: Content, folder: Path) -> list[str]:
    """Name the pictures that are not in `folder`."""
    return [name for name, _ in _pages(content) if not (folder / name).is_file()]


def fit(parts: Sequence[str], box: Box) -> Block:
    """Set each part on lines of its own, in the largest size with which all of them fit the box.

    A size down to seven tenths of the largest is preferred if each part then takes one line.
    Parts after the first stand back. Words are broken and the end is cut, with an ellipsis, only
    if even the smallest size is too large.
    """
    least = box.sizes[0] * 0.7
    whole = ((size, len(parts)) for size in box.sizes if size >= least)
    for size, most in (*whole, *((size, _most(size, box)) for size in box.sizes)):
        lines = [(line, i > 0) for i, part in enumerate(parts) for line in _wrap(part, size, box)]
        wide = max(_width(line, size, box) for line, _ in lines)
        if wide <= box.width and len(lines) <= min(most, _most(size, box)):
            return _block(lines, size, box)
    size = box.sizes[-1]
    pieces = [
        (piece, i > 0)
        for i, part in enumerate(parts)
        for line in _wrap(part, size, box)
        for piece in _pieces(line, size, box)
    ]
    most = max(1, _most(size, box))
    if len(pieces) > most:
        last, soft = pieces[most - 1]
        while last and _width(last + "…", size, box) > box.width:
            last = last[:-1]
        pieces = [*pieces[: most - 1], (last.rstrip() + "…", soft)]
    return _block(pieces, size, box)


def _most(size: int, box: Box) -> int:
    """Count the lines that the box is high enough for."""
    return int((box.height - size) / (size * box.leading)) + 1 if size <= box.height else 0


def _block(lines: Sequence[tuple[str, bool]], size: int, box: Box) -> Block:
    spare = box.height - size * (1 + (len(lines) - 1) * box.leading)
    first = box.top + size * 0.8 + (spare / 2 if box.middle else 0)
    return Block(
        size,
        size * box.spacing,
        tuple(
            Line(text, round(first + i * size * box.leading), soft)
            for i, (text, soft) in enumerate(lines)
        ),
    )


def _wrap(text: str, size: int, box: Box) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _width(f"{lines[-1]} {word}", size, box) <= box.width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _pieces(line: str, size: int, box: Box) -> Iterator[str]:
    start = 0
    for end in range(1, len(line) + 1):
        if _width(line[start:end], size, box) > box.width and end - start > 1:
            yield line[start : end - 1]
            start = end - 1
    yield line[start:]


def _width(text: str, size: int, box: Box) -> float:
    return size * sum(_WIDTHS.get(letter, _OTHER) + box.spacing for letter in text)


def _svgs(content: Content) -> Iterator[tuple[str, str]]:
    for name, svg in _pages(content):
        yield name, svg()


def _pages(content: Content) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the name of each picture, and what returns it as SVG."""
    brand = content.site.brand
    yield "site.png", partial(_site_svg, content.site)
    for comparison in content.comparisons:
        yield f"compare/{comparison.slug}.png", partial(_comparison_svg, comparison, brand)
    for course in content.courses:
        yield f"courses/{course.slug}.png", partial(_course_svg, course, brand)


def _digest(svg: str) -> str:
    return hashlib.sha256(f"{resvg_py.__version__}{svg}".encode()).hexdigest()


def _comparison_svg(comparison: Comparison, brand: str) -> str:
    names = comparison.title.split(" vs ")
    parts = [names[0], f"vs {names[1]}"] if len(names) == 2 else [comparison.title]
    first, second = comparison.options
    ahead, behind = comparison.wins(first.key), comparison.wins(second.key)
    return _svg(
        "comparison.svg",
        brand=_brand(brand),
        title=fit(parts, Box(1072, 252, 140, range(96, 35, -4), _TIGHT, middle=True)),
        cells=["first"] * ahead + ["even"] * comparison.even + ["second"] * behind,
        scores=[
            _score(ahead, f"{first.tally} ahead", ahead > behind),
            _score(comparison.even, "Even", False),
            _score(behind, f"{second.tally} ahead", behind > ahead),
        ],
    )


def _score(number: int, words: str, ahead: bool) -> dict[str, object]:
    block = fit([words], Box(260, 30, 554, (30, 26, 22)))
    return {"number": number, "words": block, "ahead": ahead}


def _course_svg(course: Course, brand: str) -> str:
    title = fit([course.title], Box(1072, 200, 146, range(96, 35, -4), _TIGHT))
    below = title.lines[-1].y + 44
    weeks, hours = _count(len(course.weeks), "week"), _count(course.hours_per_week, "hour")
    return _svg(
        "course.svg",
        brand=_brand(brand),
        title=title,
        text=fit(
            [course.promise], Box(1072, 490 - below, below, range(40, 23, -2), leading=_LOOSE)
        ),
        facts=fit([f"{weeks}, {hours} a week"], Box(1072, 40, 556, (40, 36, 32))),
    )


def _site_svg(site: Site) -> str:
    return _svg(
        "site.svg",
        brand=_brand(site.brand),
        title=fit(
            [site.home.heading], Box(1072, 252, 140, range(112, 35, -4), _TIGHT, middle=True)
        ),
        text=fit(
            [site.tagline], Box(1072, 130, 460, range(44, 23, -2), leading=_LOOSE, middle=True)
        ),
    )


def _brand(brand: str) -> Block:
    return fit([brand], Box(1000, 32, 43, (32, 28, 24, 20)))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_ROOT / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _svg(template: str, **words: object) -> str:
    width, height = SIZE
    return (
        _templates().get_template(f"share/{template}").render(width=width, height=height, **words)
    )


def _png(svg: str) -> bytes:
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg,
            skip_system_fonts=True,
            font_files=_FONTS,
            font_family="Familjen Grotesk",
        )
    )


def _digests(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as part:
        part.write(data)
    file = Path(part.name)
    file.chmod(0o644)
    file.replace(target)
