"""Mail about orders, delivered and parsed."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.orm import Session

from crossroads import content
from crossroads.orders import lifecycle as orders
from models import Order, db, writing
from tests.support.orders import paid, take_seats, with_checkout
from tests.support.purchases import JANUARY, words
from tests.support.workers import WORDS as SITE
from tests.support.workers import make_worker


def unseated(session: Session, **given: Any) -> Order:
    """Return a paid order whose seats were released before the payment arrived."""
    session.rollback()
    writing(session)
    order = with_checkout(session, **{"cohort": JANUARY, **given})
    take_seats(session, order)
    orders.fulfill(session, order.id, paid(order), "test")
    session.commit()
    return order


def mails(app: Flask, instance: Path, words: content.Content = SITE) -> list[EmailMessage]:
    """Deliver what is due and return the mails, a receipt first."""
    with app.app_context():
        engine = db.engine
    delivery = make_worker(engine, instance=instance, words=words).deliver_due()
    found = [
        message_from_bytes(file.read_bytes(), policy=default)
        for file in (instance / "mail").glob("*.eml")
    ]
    assert (delivery.sent, delivery.postponed, delivery.dead) == (len(found), 0, 0)
    return sorted(found, key=lambda mail: "receipt" not in mail["Subject"])


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def read(mail: EmailMessage) -> tuple[str, str]:
    """Return the text and the HTML of a mail as plain words, with all white space alike."""
    html = re.sub(r"<(style|title).*?</\1>", " ", part(mail, "html"), flags=re.S)
    return " ".join(part(mail, "plain").split()), words(html)
