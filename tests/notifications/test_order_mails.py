"""Mails to a buyer: the receipt, the link to the participant's page, and what went wrong."""

import re
from dataclasses import replace
from email.message import EmailMessage
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete
from sqlalchemy.orm import Session

from crossroads import content
from crossroads.orders import ledger, refunds
from crossroads.orders import lifecycle as orders
from models import Order, OrderEvent, db, writing
from models.order import OrderEventKind
from tests.support.order_mails import mails, part, read, unseated
from tests.support.order_states import refund
from tests.support.orders import checkout, paid, with_checkout
from tests.support.purchases import COURSE, JANUARY, words
from tests.support.workers import BASE_URL, make_worker
from tests.support.workers import WORDS as SITE

pytestmark = pytest.mark.usefixtures("one_day")


def pay(session: Session, *, amounts: dict[str, int] | None = None, **given: Any) -> Order:
    writing(session)
    order = with_checkout(session, **{"cohort": JANUARY, **given})
    orders.fulfill(session, order.id, paid(order, **(amounts or {})), "test")
    session.commit()
    return order


def delivered(
    app: Flask, instance: Path, words: content.Content = SITE
) -> tuple[EmailMessage, EmailMessage]:
    """Deliver what is due and return the receipt and the other mail."""
    receipt, enrolled = mails(app, instance, words)
    return receipt, enrolled


def test_receipt_has_all_payment_facts_in_text_and_html(
    app: Flask, session: Session, instance: Path
) -> None:
    order = pay(session, number=3, name="Zoë")
    receipt, _ = delivered(app, instance)
    assert receipt["To"] == "maria@example.com"
    assert receipt["Subject"] == f"Your receipt for order {order.id}"
    for said in read(receipt):
        for fact in (
            "Hello Zoë, thank you. We received your payment.",
            f"{COURSE.title}, January 2027",
            "3 seats, $1,200 each",
            "$3,600",
            "November 22, 2026",
            "maria@example.com",
            f"{SITE.site.brand}, {SITE.site.postal_address}",
            COURSE.price.tax,
            COURSE.refund_rule,
            f"You get this email because you bought seats at {BASE_URL}.",
        ):
            assert " ".join(fact.split()) in said
    for kind in ("plain", "html"):
        assert f"{BASE_URL}/orders/{order.token}" in part(receipt, kind)


def test_receipt_shows_the_discount_and_no_tax_line_without_tax(
    app: Flask, session: Session, instance: Path
) -> None:
    pay(session, amounts={"amount_discount": 20_000, "amount_tax": 0, "amount_total": 100_000})
    receipt, _ = delivered(app, instance)
    text, html = read(receipt)
    assert "Price: $1,200 Discount: -$200 Paid: $1,000" in text
    assert "Price $1,200 Discount -$200 Paid $1,000" in html
    assert "Tax:" not in text


def test_welcome_links_to_the_page_and_calendar_of_the_first_seat(
    app: Flask, session: Session, instance: Path, client: FlaskClient
) -> None:
    order = pay(session, number=2)
    _, enrolled = delivered(app, instance)
    first, second = orders.enrollments(session, order)
    assert enrolled["Subject"] == f"You're in: {COURSE.title}"
    for kind in ("plain", "html"):
        body = part(enrolled, kind)
        assert f"{BASE_URL}/enrollments/{first.token}" in body
        assert second.token not in body
        found = re.findall(rf"{BASE_URL}(/enrollments/[\w-]+(?:/calendar\.ics)?)", body)
        for path in set(found):
            assert client.get(path).status_code == 200
        assert any(path.endswith("calendar.ics") for path in found)
    for said in read(enrolled):
        for fact in (
            "Hello Maria, your 2 seats are paid for.",
            "January 19 to March 11, 2027",
            "Tuesday, January 19, 2027, 6:00 pm to 7:30 pm, New York time",
            "Before January 19, 2027, the course team will email you the materials and how to join",
            "If you don't have that email by January 18, 2027, email hello@example.com",
            "Anyone with the link can open it, so keep it private.",
            "Name the other participant",
        ):
            assert fact in said


def test_buyer_without_a_seat_is_told_about_the_refund(
    app: Flask, session: Session, instance: Path, client: FlaskClient
) -> None:
    order = unseated(session, number=2)
    (mail,) = mails(app, instance)
    assert mail["To"] == "maria@example.com"
    assert mail["Subject"] == f"Order {order.id} is being refunded: the course filled up"
    for said in read(mail):
        for fact in (
            "Hello Maria, your payment of $2,400 arrived too late: your seats had been released, "
            "and the course filled up. You are not enrolled.",
            "We are refunding the full amount to the card or account you paid with.",
            f"If you don't see it by then, email hello@example.com and mention order {order.id}.",
            f"{COURSE.title}, January 2027",
            "November 22, 2026",
        ):
            assert fact in said
    for kind in ("plain", "html"):
        body = part(mail, kind)
        assert f"{BASE_URL}/orders/{order.token}" in body
        assert "/unsubscribe/" in body  # the late payment put the buyer on the waiting list
        assert "/enrollments/" not in body
    page = words(client.get(f"/orders/{order.token}").text)
    assert "We are refunding the whole amount to the card or account you paid with." in page


def failed(session: Session, **given: Any) -> Order:
    """Return an order whose delayed payment failed."""
    session.rollback()
    writing(session)
    order = with_checkout(session, **{"cohort": JANUARY, **given})
    for later in ({}, {"failed": True}):
        orders.fulfill(session, order.id, checkout(order, status="complete", **later), "test")
    session.commit()
    return order


def test_buyer_gets_one_mail_about_a_failed_payment_with_a_new_link(
    app: Flask, session: Session, instance: Path
) -> None:
    order = failed(session, number=2)
    (mail,) = mails(app, instance)
    assert mail["To"] == "maria@example.com"
    assert mail["Subject"] == f"Payment failed for order {order.id}"
    for said in read(mail):
        for fact in (
            "Hello Maria, your payment of $2,400 did not go through",
            "You are not enrolled, and your seats were released.",
            f"email hello@example.com and mention order {order.id}.",
            f"{COURSE.title}, January 2027",
            "2 seats",
        ):
            assert fact in said
    for kind in ("plain", "html"):
        again = f"{BASE_URL}/courses/{COURSE.slug}/enroll?cohort={JANUARY.code}"
        assert again in unescape(part(mail, kind))


def test_failed_payment_for_a_removed_course_links_to_the_order(
    app: Flask, session: Session, instance: Path
) -> None:
    order = failed(session)
    (mail,) = mails(app, instance, SITE.model_copy(update={"courses": ()}))
    for kind in ("plain", "html"):
        assert f"{BASE_URL}/orders/{order.token}" in part(mail, kind)
        assert "/enroll?" not in part(mail, kind)


def test_buyer_is_told_that_a_refund_failed(app: Flask, session: Session, instance: Path) -> None:
    order = pay(session)
    writing(session)
    found = ledger.lock(session, order.id)
    made = refund(found, amount=100_000)
    for status in ("succeeded", "failed"):
        refunds.record_status(session, found, replace(made, status=status), "event")
    session.commit()
    found_mails = mails(app, instance)
    (mail,) = [one for one in found_mails if "did not go through" in one["Subject"]]
    assert mail["Subject"] == f"Your $1,000 refund did not go through (order {order.id})"
    for said in read(mail):
        assert "your refund of $1,000 did not reach the card or account you paid with" in said
        assert f"email hello@example.com, mention order {order.id}" in said
        assert "Not refunded yet" in said
    for kind in ("plain", "html"):
        assert f"{BASE_URL}/orders/{order.token}" in part(mail, kind)


def test_mails_to_a_buyer_have_no_unsubscribe_header(
    app: Flask, session: Session, instance: Path
) -> None:
    pay(session)
    unseated(session, email="late@example.com")
    for mail in mails(app, instance):
        assert mail["List-Unsubscribe"] is None
        # A buyer whose payment came too late is on the waiting list and gets a link to leave it.
        assert ("nsubscribe" in part(mail, "plain")) == (mail["To"] == "late@example.com")
        assert mail["Auto-Submitted"] == "auto-generated"


def test_heading_is_the_subject_and_mail_loads_nothing(
    app: Flask, session: Session, instance: Path
) -> None:
    pay(session)
    unseated(session, email="late@example.com")
    for mail in mails(app, instance):
        html = part(mail, "html")
        (heading,) = re.findall(r"<h1[^>]*>(.*?)</h1>", html)
        assert unescape(heading) == mail["Subject"]
        assert mail["Subject"] in part(mail, "plain")
        assert "@media (prefers-color-scheme: dark)" in html
        assert not re.search(r"<(img|link|script|iframe)\b|url\(|\bsrc=", html)
        assert len(html.encode()) < 30_000
        assert html.count('class="act-link"') == 1


def test_name_like_a_link_is_left_out_and_markup_is_not_rendered(
    app: Flask, session: Session, instance: Path
) -> None:
    pay(session, name="<b>www.example.com</b>")
    for mail in delivered(app, instance):
        assert "Hello" not in part(mail, "plain")
        assert "<b>" not in part(mail, "html")


def test_buyers_of_a_removed_course_still_get_their_mail(
    app: Flask, session: Session, instance: Path
) -> None:
    order = pay(session)
    emptied = SITE.model_copy(update={"courses": ()})
    receipt, enrolled = delivered(app, instance, emptied)
    assert enrolled["Subject"] == f"You're in: {order.item}"
    for mail in (receipt, enrolled):
        for said in read(mail):
            assert order.item in said


def test_error_with_one_order_does_not_stop_other_mail(
    app: Flask, session: Session, instance: Path
) -> None:
    broken = pay(session, email="broken@example.com")
    session.execute(
        delete(OrderEvent).where(
            OrderEvent.order_id == broken.id, OrderEvent.kind == OrderEventKind.PAID
        )
    )
    session.commit()
    pay(session)
    with app.app_context():
        engine = db.engine
    delivery = make_worker(engine, instance=instance).deliver_due()
    assert (delivery.sent, delivery.postponed) == (2, 2)
