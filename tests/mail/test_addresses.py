"""Addresses from the form to the mail server: one person has one lead and one mailbox."""

import unicodedata

import pytest
from flask import Flask
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from crossroads.leads.campaign_links import TAGS
from models import Lead, db
from tests.support.hostile import hostile
from tests.support.mail_server import MailServer
from tests.support.workers import make_worker

INJECTIONS = ["\r\nBcc: evil@example.net", "\nBcc: evil@example.net", "\rBcc: evil@example.net"]


@pytest.fixture
def engine(app: Flask) -> Engine:
    with app.app_context():
        return db.engine


def sign_up(app: Flask, email: str, **typed: str) -> int:
    body = {"email": email, "consent": "yes", **typed}
    return app.test_client().post("/signup", data=body).status_code


@pytest.mark.parametrize(
    "spellings",
    [
        ["Maria@example.com", "maria@EXAMPLE.com", "Ｍａｒｉａ@example.com"],
        ["José@example.com", unicodedata.normalize("NFD", "JOSÉ@example.com")],
        ["maria@bücher.example", "maria@xn--bcher-kva.example", "Maria@BÜCHER.example"],
        ["用户@例子.公司", "用户@xn--fsqu00a.xn--55qx5d"],
    ],
)
def test_spellings_of_one_address_make_one_lead_and_one_mailbox(
    app: Flask, engine: Engine, server: MailServer, spellings: list[str]
) -> None:
    for spelling in spellings:
        assert sign_up(app, spelling) == 200
    with Session(engine) as session:
        [stored] = session.scalars(select(Lead.email))
    make_worker(engine, server.url).deliver_due()
    mailbox, _, domain = stored.partition("@")
    assert mailbox == unicodedata.normalize("NFC", spellings[1].lower()).partition("@")[0]
    domain = domain.encode("idna").decode()  # the form that every mail server accepts
    assert {mail.recipient for mail in server.mails} == {f"{mailbox}@{domain}"}
    assert ("SMTPUTF8" in server.options) == (not mailbox.isascii())


@pytest.mark.parametrize("end", INJECTIONS)
def test_line_break_in_an_address_or_name_is_refused_at_the_form(
    app: Flask, engine: Engine, end: str
) -> None:
    assert sign_up(app, f"maria@example.com{end}") == 422
    assert sign_up(app, f"maria{end}@example.com") == 422
    assert sign_up(app, "maria@example.com", name=f"Maria{end}") == 422
    with Session(engine) as session:
        assert session.scalar(select(func.count(Lead.id))) == 0


def test_typed_text_adds_no_header_to_any_mail(
    app: Flask, engine: Engine, server: MailServer
) -> None:
    assert sign_up(app, "plain@example.com", name="Maria") == 200
    tricks = [*INJECTIONS, "\u2028Bcc: evil@example.net", "=?utf-8?q?=0ABcc:_evil=40example.net?="]
    for number, text in enumerate([*tricks, *hostile(8, seed=7)]):
        sent = text.encode("utf-8", "replace").decode()
        typed = {"page": sent, **dict.fromkeys(TAGS, sent)}
        assert sign_up(app, f"p{number}@example.com", **typed) == 200
        sign_up(app, f"n{number}@example.com", name=sent)
    worker = make_worker(engine, server.url)
    worker.deliver_due()
    with Session(engine) as session:
        tokens = session.scalars(select(Lead.confirm_token)).all()
    for token in tokens:
        assert app.test_client().post(f"/confirm/{token}").status_code == 200
    worker.deliver_due()
    shapes: dict[str, set[tuple[str, ...]]] = {}
    for mail in server.mails:
        assert mail.recipient.endswith("@example.com")
        assert mail.message["To"] == mail.recipient
        subject = mail.message["Subject"]
        shapes.setdefault(subject, set()).add(tuple(mail.message.keys()))
    assert len(server.mails) == 2 * len(tokens)
    assert set(shapes) == {"Confirm your email", "You are subscribed"}
    assert [len(headers) for headers in shapes.values()] == [1, 1], (
        "all mails have the same headers"
    )
