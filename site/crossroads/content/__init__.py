"""The content of the site: comparisons, courses and texts, read from YAML and checked.

Every mistake of every file is reported at once, with file, line, field and what was
expected. The shapes are in schema.py, the rules between fields in rules.py.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, PrivateAttr

from crossroads.content import rules, yaml_document
from crossroads.content.fields import slugify
from crossroads.content.schema import (
    EVEN,
    CheckoutOptions,
    Claim,
    Cohort,
    Comparison,
    Course,
    Legal,
    Link,
    Option,
    Price,
    Shape,
    Site,
    Source,
    Topic,
)

__all__ = [
    "EVEN",
    "CheckoutOptions",
    "Claim",
    "Cohort",
    "Comparison",
    "Content",
    "ContentError",
    "Course",
    "Legal",
    "Link",
    "Option",
    "Price",
    "Problem",
    "Site",
    "Source",
    "Topic",
    "expired",
    "figures_without_source",
    "load",
    "stamp",
]

Model = TypeVar("Model", bound=BaseModel)

_FIGURE: Final = re.compile(r"[0-9%$€£¥]")
_FILLED: Final = ("brand", "contact_email", "postal_address")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the file's name, the line from 1, the field, and what to do."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        return (
            f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"
        )


class ContentError(Exception):
    """The content cannot be used: `problems` holds every mistake, in the order of the files."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class File:
    """A content file as read: `name` is for people, `document` holds values and lines."""

    name: str
    slug: str
    document: yaml_document.Document
    digest: str = ""

    def problem(self, path: yaml_document.Path, message: str, line: int = 0) -> Problem:
        return Problem(self.name, line or self.document.line(path), _dotted(path), message)


class Content(Shape):
    """Everything the site says: comparisons newest first, courses by slug."""

    site: Site
    comparisons: tuple[Comparison, ...]
    courses: tuple[Course, ...]
    _files: Mapping[tuple[str, str], File] = PrivateAttr(default_factory=dict)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics of the comparisons, each once, by name."""
        named = {one.topic_slug: one.topic for one in self.comparisons}
        return tuple(
            Topic(slug=slug, name=name)
            for slug, name in sorted(named.items(), key=lambda item: item[1].lower())
        )

    @property
    def samples(self) -> tuple[str, ...]:
        """Return a sentence for each sample value that must be replaced."""
        owners: list[tuple[str, tuple[str, ...], File]] = [
            ("the site", self.site.samples, self._file("site", "site"))
        ]
        owners += [
            (one.title, one.samples, self._file("courses", one.slug)) for one in self.courses
        ]
        return tuple(
            f"The {name.replace('_', ' ')} of {owner} {_be(name)} a sample: replace it in "
            f"{file.name}, then take it off the samples list there."
            for owner, names, file in owners
            for name in names
        )

    def comparison(self, slug: str) -> Comparison | None:
        """Return a comparison by its slug."""
        return next((one for one in self.comparisons if one.slug == slug), None)

    def course(self, slug: str) -> Course | None:
        """Return a course by its slug."""
        return next((one for one in self.courses if one.slug == slug), None)

    @property
    def pages(self) -> tuple[str, ...]:
        """Return the path of every page for search engines."""
        return (
            "/",
            "/compare",
            *(f"/compare/topics/{topic.slug}" for topic in self.topics),
            *(f"/compare/{comparison.slug}" for comparison in self.comparisons),
            *(f"/courses/{course.slug}" for course in self.courses),
            "/privacy",
            "/terms",
        )

    def version(self, path: str) -> str:
        """Return a short version id of the content of the page at a path."""
        kind, slug, *_ = *path.strip("/").split("/"), ""
        about = ("comparisons" if kind == "compare" else kind, slug)
        files = (self._file("site", "site"), self._files.get(about))
        digests = [file.digest for file in (files if files[1] else self._files.values()) if file]
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]

    def _file(self, kind: str, slug: str) -> File:
        name = "site.yaml" if kind == "site" else f"{kind}/{slug}.yaml"
        return self._files.get((kind, slug)) or File(name, slug, yaml_document.Document())


def load(folder: Path, *, today: date | None = None) -> Content:
    """Read site.yaml, comparisons/*.yaml and courses/*.yaml below a folder.

    Raises ContentError with all mistakes of all files. `today` is the day that a `checked` date
    may not lie after.
    """
    today = today or datetime.now(UTC).date()
    problems: list[Problem] = []
    site_file = _filled_in(_load_file(folder, folder / "site.yaml"))
    files = {kind: list(_load_all(folder, kind, problems)) for kind in ("comparisons", "courses")}
    courses = [file.slug for file in files["courses"]]
    addresses = [f"/compare/{file.slug}" for file in files["comparisons"]]
    addresses += [f"/courses/{slug}" for slug in courses]

    # Of two problems with one field the first is reported, so these come before the shapes.
    problems += _slugs(files["comparisons"])
    problems += _slugs(files["courses"])
    problems += _topics(files["comparisons"])
    site = _check(site_file, Site, partial(rules.site, addresses=addresses), problems)
    check_one = partial(rules.comparison, courses=courses, today=today)
    comparisons = [_check(file, Comparison, check_one, problems) for file in files["comparisons"]]
    lessons = [_check(file, Course, rules.course, problems) for file in files["courses"]]
    if problems or site is None:
        first = {(one.file, one.line, one.field): one for one in reversed(problems)}
        raise ContentError(tuple(first[key] for key in sorted(first)))

    content = Content(
        site=site,
        comparisons=tuple(
            sorted(
                (one for one in comparisons if one),
                key=lambda one: (-one.published.toordinal(), one.slug),
            )
        ),
        courses=tuple(one for one in lessons if one),
    )
    content._files = {(kind, file.slug): file for kind in files for file in files[kind]}
    content._files["site", "site"] = site_file
    return content


def figures_without_source(content: Content) -> list[Problem]:
    """Return the rows that state a figure (a digit, a percentage, money) without a source."""
    return [
        content._file("comparisons", one.slug).problem(
            ("rows", i), f"{row.label}: has figures and no source: add source, title and address"
        )
        for one in content.comparisons
        for i, row in enumerate(one.rows)
        if row.source is None and any(_FIGURE.search(cell) for cell in row.cells.values())
    ]


def expired(content: Content, today: date) -> list[Problem]:
    """Return the rows whose `expires` date is before today."""
    return [
        content._file("comparisons", one.slug).problem(
            ("rows", i, "expires"),
            f"{row.label}: expired on {row.expires}: check it again and write the new dates",
        )
        for one in content.comparisons
        for i, row in enumerate(one.rows)
        if row.expires and row.expires < today
    ]


def stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return a value that changes with any content file: names, modification times and sizes."""
    marks = []
    for path in sorted(folder.rglob("*.y*ml")):
        try:
            state = path.stat()
        except OSError:  # an editor is replacing it
            continue
        marks.append((str(path.relative_to(folder)), state.st_mtime_ns, state.st_size))
    return tuple(marks)


def _load_all(folder: Path, kind: str, problems: list[Problem]) -> Iterator[File]:
    for path in _shown(folder / kind, "*.yml"):
        problems.append(
            Problem(_name(folder, path), 1, "", "would be left out: end its name in .yaml")
        )
    for path in _shown(folder / kind, "*.yaml"):
        yield _load_file(folder, path)


def _shown(folder: Path, pattern: str) -> list[Path]:
    """Return the files other than hidden ones, which editors and file managers create."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def _load_file(folder: Path, path: Path) -> File:
    data = b""
    try:
        data = path.read_bytes()
        document = yaml_document.load(data)
    except FileNotFoundError:
        document = yaml_document.Document(mistakes=[((), 1, "is missing")])
    except OSError as error:
        document = yaml_document.Document(mistakes=[((), 1, f"cannot be read: {error.strerror}")])
    digest = hashlib.sha256(data).hexdigest()
    return File(_name(folder, path), path.stem, document, digest)


def _name(folder: Path, path: Path) -> str:
    root = folder.resolve()
    return str(root.relative_to(root.parent.parent) / path.relative_to(folder))


def _check(
    file: File,
    model: type[Model],
    rule: Callable[[object], rules.Mistakes],
    problems: list[Problem],
) -> Model | None:
    """Build a file's object, or add its mistakes, one for each field: the first found says most."""
    read = file.document
    problems += [file.problem(path, message, line) for path, line, message in read.mistakes]
    if read.mistakes and read.value is None:  # not valid YAML: there is nothing to validate
        return None
    reported = {path for path, _, _ in read.mistakes}
    for path, message in (*rule(read.value), *rules.shape(model, read)):
        if path not in reported:
            reported.add(path)
            problems.append(file.problem(path, message))
    return None if reported else model.model_validate(read.value)


def _slugs(files: list[File]) -> Iterator[Problem]:
    owners = {file.slug: file.name for file in files}
    for file in files:
        slug = file.document.value.get("slug") if isinstance(file.document.value, dict) else None
        if isinstance(slug, str) and slug != file.slug:
            taken = f", which is the slug of {owners[slug]}" if slug in owners else ""
            yield file.problem(
                ("slug",), f"must be '{file.slug}', the name of its file, not '{slug[:100]}'{taken}"
            )


def _topics(files: list[File]) -> Iterator[Problem]:
    first: dict[str, tuple[str, str]] = {}
    for file in files:
        topic = file.document.value.get("topic") if isinstance(file.document.value, dict) else None
        if isinstance(topic, str):
            name, owner = first.setdefault(slugify(topic), (topic, file.name))
            if name != topic:
                yield file.problem(("topic",), f"must be written '{name[:40]}', as in {owner}")


def _filled_in(file: File) -> File:
    """Replace placeholders in the legal texts, like {contact_email}."""
    site = file.document.value
    if not isinstance(site, dict):
        return file
    filled = dict(site)
    for part in ("privacy", "terms"):
        legal = site.get(part)
        if isinstance(legal, dict) and isinstance(body := legal.get("body"), str):
            for name in _FILLED:
                body = body.replace(f"{{{name}}}", str(site.get(name)))
            filled[part] = {**legal, "body": body}
    return replace(file, document=replace(file.document, value=filled))


def _dotted(path: yaml_document.Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _be(name: str) -> str:
    return "are" if name.endswith("s") and not name.endswith("ss") else "is"
