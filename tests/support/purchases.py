"""Buying on the site as a browser does, and reading the responses."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from crossroads.content import Cohort, Content, load
from crossroads.orders import seats
from models import Order, writing
from tests.support.paths import ROOT

COURSE = load(ROOT / "site" / "content").courses[0]
JANUARY, APRIL, SEPTEMBER = COURSE.cohorts
COURSE_PAGE = f"/courses/{COURSE.slug}"
ENROLL = f"{COURSE_PAGE}/enroll"


def course_file(root: Path, options: str, amount: int = 120_000, currency: str = "USD") -> Content:
    """Write checkout options ("terms") and the price into the course file; load all content."""
    file = root / "site/content/courses" / f"{COURSE.slug}.yaml"
    text = file.read_text("utf-8").replace("amount: 120000", f"amount: {amount}")
    text = text.replace("currency: USD", f"currency: {currency}")
    for name in options.split():
        text = text.replace(f"  {name}: false", f"  {name}: true")
    file.write_text(
        text.replace("  # tax_behavior: inclusive", "  tax_behavior: exclusive")
        if "automatic_tax" in options
        else text,
        "utf-8",
    )
    return load(root / "site/content")


def typed(client: FlaskClient, **changed: str) -> dict[str, str]:
    """Return the enroll form as a buyer sends it, with these fields changed."""
    given = {"cohort": JANUARY.code, "seats": "1", "name": "Maria", "email": "maria@example.com"}
    return {**hidden(client.get(ENROLL).text), **given, **changed}


def hidden(html: str) -> dict[str, str]:
    """Return the hidden fields of a page's forms."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html))


def buy(client: FlaskClient, **changed: str) -> TestResponse:
    """Send the enroll form with the right amount on its button."""
    changed.setdefault("amount", str(COURSE.price.amount * int(changed.get("seats", 1))))
    return client.post(ENROLL, data=typed(client, **changed))


def bought(client: FlaskClient, session: Session, **changed: str) -> tuple[Order, str]:
    """Return a newly placed order, and the URL of its payment page."""
    answer = buy(client, **changed)
    assert answer.status_code == 303, words(answer.text)
    return placed(session)[-1], answer.location


def placed(session: Session) -> list[Order]:
    """Return every order with its current values, oldest first, detached from the session."""
    session.rollback()
    found = list(session.scalars(select(Order).order_by(Order.id)))
    session.expunge_all()
    session.rollback()
    return found


def leave(session: Session, cohort: Cohort, places: int) -> None:
    """Reserve all seats of a cohort except this many."""
    writing(session)
    seats.reserve(session, COURSE, cohort, seats.seats_left(session, COURSE, cohort) - places)
    session.commit()


def order_page(client: FlaskClient, order: Order) -> str:
    """Return the page of an order; assert that it is not cached and sends no referrer."""
    answer = client.get(f"/orders/{order.token}")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    return answer.text


def words(html: str) -> str:
    """Return the text of a page, with a space at the borders of elements."""
    body = re.sub(r"<(script|head)\b.*?</\1>", " ", html, flags=re.S)
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())
    return re.sub(r" ([.,])", r"\1", text)


def heading(html: str) -> str:
    return unescape(re.findall(r"<h1[^>]*>(.*?)</h1>", html)[0])


def title(html: str) -> str:
    return unescape(re.findall(r"<title>(.*?)</title>", html)[0])


def buttons(html: str) -> list[str]:
    return [words(one) for one in re.findall(r"<button.*?</button>", html, re.S)]


def refresh(html: str) -> str | None:
    """Return seconds and URL of a page's automatic refresh, if it has one."""
    found = re.search(r'<meta http-equiv="refresh" content="([^"]+)">', html)
    return found[1] if found else None


def links(html: str, start: str) -> list[str]:
    """Return the links of a page that start with this text."""
    return re.findall(rf'href="({re.escape(start)}[^"]*)"', html)


@pytest.fixture
def one_day() -> Iterator[None]:
    """Travel to a day before the start of every cohort."""
    with time_machine.travel("2026-11-22T12:00:00+00:00", tick=True):
        yield
