"""Rules for the content files: each one yields (path, message).

The rules look at the values as they were read, before these are known to have the right shape, so
that a file with one misspelled field still gets its other mistakes reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from crossroads import money
from crossroads.content.fields import slugify
from crossroads.content.schema import EVEN, Course, Site
from crossroads.content.yaml_document import Document, Path

Mistakes = Iterator[tuple[Path, str]]


def shape(model: type[BaseModel], document: Document) -> Mistakes:
    """Validate a file's structure: missing, unknown and misspelled fields, wrong types."""
    if not isinstance(document.value, dict):
        yield (), "must be a group of fields, each a name, a colon and its value"
        return
    try:
        model.model_validate(document.value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = detail["loc"]
            spot = document.spots.get(path)
            yield path, _sentence(model, detail, spot.written if spot else "")


def site(value: object, addresses: Sequence[str]) -> Mistakes:
    """Check site.yaml; `addresses` are those of the comparisons and courses there are."""
    for i, link in _items(value, "navigation"):
        href = link.get("href")
        if _is_page(href) and href not in addresses:
            yield ("navigation", i, "href"), f"leads nowhere: {_near(href, addresses)}"
    consent = _mapping(_mapping(value).get("waiting_list")).get("consent")
    if isinstance(consent, str) and not ("{course}" in consent and "{dates}" in consent):
        yield (
            ("waiting_list", "consent"),
            "must name what is waited for: write {course} and {dates} where they belong",
        )
    yield from _samples(value, Site)


def comparison(value: object, courses: Sequence[str], today: date) -> Mistakes:
    """Check one comparison; `courses` are the slugs of the courses there are."""
    options = _mapping(value).get("options")
    keys = [option.get("key") for _, option in _items(value, "options")]
    if isinstance(options, tuple) and len(options) != 2:
        yield ("options",), f"must have exactly two options, not {len(options)}"
    for i, option in _items(value, "options"):
        key = option.get("key")
        if key == EVEN:
            yield ("options", i, "key"), f"must not be {EVEN}: rows use that word for a draw"
        elif key is not None and key in keys[:i]:
            yield ("options", i, "key"), f"is the key of another option already: {key}"
    known = [key for key in keys if isinstance(key, str) and len(key) <= 100]
    if len(known) == len(keys) == 2:
        yield from _rows(value, known)
        yield from _choose(value, known)
    yield from _dates(value, today)
    verdict = _mapping(_mapping(value).get("verdict"))
    headline, highlight = verdict.get("headline"), verdict.get("highlight")
    if isinstance(headline, str) and isinstance(highlight, str) and highlight not in headline:
        yield ("verdict", "highlight"), "must be words of the headline, exactly as they stand there"
    course = _mapping(_mapping(value).get("cta")).get("course")
    if isinstance(course, str) and course not in courses:
        yield ("cta", "course"), f"is no course: {_near(course, courses)}"
    topic = _mapping(value).get("topic")
    if isinstance(topic, str) and topic.strip() and not 1 <= len(slugify(topic)) <= 100:
        yield ("topic",), "must be a short name with a letter a to z or a digit in it"


def course(value: object) -> Mistakes:
    """Check one course."""
    codes: dict[object, int] = {}
    for i, cohort in _items(value, "cohorts"):
        code, starts, ends = (cohort.get(name) for name in ("code", "starts", "ends"))
        if isinstance(starts, date) and isinstance(ends, date) and ends < starts:
            yield (
                ("cohorts", i, "ends"),
                f"must not be before the start, {starts}: the cohort ends {ends}",
            )
        if isinstance(code, str) and codes.setdefault(code, i) != i:
            yield ("cohorts", i, "code"), f"is the code of another cohort already: {code}"
    price = _mapping(_mapping(value).get("price"))
    amount, currency = price.get("amount"), price.get("currency")
    if isinstance(amount, int) and currency in money.DIGITS:
        step = money.step(str(currency))
        if amount > 0 and amount % step:
            yield (
                ("price", "amount"),
                f"must be a multiple of {step}: Stripe charges {currency} in steps of "
                f"{money.decimal(step, str(currency))}",
            )
    checkout = _mapping(_mapping(value).get("checkout"))
    if "tax_behavior" in checkout and checkout.get("automatic_tax") is not True:
        yield (
            ("checkout", "tax_behavior"),
            "means nothing without automatic_tax: true: write that too, or take this line out",
        )
    yield from _samples(value, Course)


def _rows(value: object, keys: list[str]) -> Mistakes:
    for i, row in _items(value, "rows"):
        winner = row.get("winner")
        if winner is not None and winner not in (*keys, EVEN):
            shown = f", not '{winner[:40]}'" if isinstance(winner, str) else ""
            yield ("rows", i, "winner"), f"must be one of {_either((*keys, EVEN))}{shown}"
        cells = row.get("cells")
        if isinstance(cells, dict):
            for key in keys:
                if key not in cells:
                    yield ("rows", i, "cells", key), "is missing: each option needs its cell"
            for key in cells:
                if key not in keys:
                    yield ("rows", i, "cells", key), f"is no option: {_near(key, keys)}"


def _choose(value: object, keys: list[str]) -> Mistakes:
    lists = _items(_mapping(value).get("choose"), "lists")
    named = []
    for i, entry in lists:
        key = entry.get("option")
        if isinstance(key, str) and key not in keys:
            yield ("choose", "lists", i, "option"), f"is no option: {_near(key, keys)}"
        elif key in named:
            yield ("choose", "lists", i, "option"), f"has a list already: {key}"
        named.append(key)
    for key in keys:
        if named and len(named) < len(keys) and key not in named:
            yield ("choose", "lists"), f"must have a list for each option: {key} has none"


def _dates(value: object, today: date) -> Mistakes:
    published, updated = (_mapping(value).get(name) for name in ("published", "updated"))
    if isinstance(published, date) and isinstance(updated, date) and updated < published:
        yield ("updated",), f"must not be before it was published, {published}"
    for i, row in _items(value, "rows"):
        checked, expires = row.get("checked"), row.get("expires")
        # A day of slack: it may be tomorrow already where the file was written.
        if isinstance(checked, date) and checked > today + timedelta(days=1):
            yield ("rows", i, "checked"), f"must not be in the future, like {checked}"
        elif isinstance(checked, date) and isinstance(expires, date) and expires < checked:
            yield ("rows", i, "expires"), f"must not be before it was checked, {checked}"


def _samples(value: object, model: type[BaseModel]) -> Mistakes:
    samples = _mapping(value).get("samples")
    for i, name in enumerate(samples if isinstance(samples, tuple) else ()):
        if isinstance(name, str) and name not in model.model_fields:
            yield ("samples", i), f"must name a field: {_near(name, list(model.model_fields))}"


def _is_page(href: object) -> bool:
    return isinstance(href, str) and href.startswith(("/compare/", "/courses/"))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _items(value: object, name: str) -> list[tuple[int, Mapping[str, object]]]:
    found = _mapping(value).get(name)
    return [(i, _mapping(item)) for i, item in enumerate(found if isinstance(found, tuple) else ())]


def _near(name: object, names: Sequence[str]) -> str:
    close = get_close_matches(str(name), names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"use {_either(names)}" if names else "there is none yet"


def _either(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _sentence(model: type[BaseModel], detail: ErrorDetails, written: str) -> str:
    """Return a pydantic error as a sentence for content authors."""
    if detail["type"] != "missing" and detail["input"] is None:
        return "is empty: write its value after the colon"
    match detail["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            *above, name = detail["loc"]
            return f"is not a field here: {_near(name, list(_model_at(model, above).model_fields))}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "string_type" if isinstance(detail["input"], tuple | dict):
            return f"must be text, not {written}"
        case "string_type":
            return f"must be text: put quotes around {written}"
        case "int_type":
            return f"must be a whole number without quotes, like 20, not {written}"
        case "bool_type":
            return f"must be true or false, without quotes, not {written}"
        case "literal_error":
            words = detail["ctx"]["expected"].replace("'", "")
            return f"must be {words}, not {written}"
        case "date_type":
            return f"must be a date without quotes, like 2027-01-18, not {written}"
        case "tuple_type":
            return f"must be a list, with a dash before each item, not {written}"
        case "model_type" | "dict_type":
            return f"must be a group of fields, indented, not {written}"
        case _:
            return f"is not right: {detail['msg']}"


def _model_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel]:
    for step in path:
        if isinstance(step, str):
            model = _model_in(model.model_fields[step].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)
