"""Domains that accept no mail: the DNS check, and its effect on delivery by the worker."""

from collections.abc import Iterator
from typing import Any

import dns.resolver
import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.cli import processes
from crossroads.mail import mx
from crossroads.mail.kinds import MailKind
from crossroads.mail.mx import Domains
from models import Message, db, writing
from tests.support.desk_visits import lead
from tests.support.mail_server import MailServer
from tests.support.name_server import BROKEN, SILENT, NameServer
from tests.support.queued_mail import queue_mail
from tests.support.workers import make_worker

ZONE: dict[str, list[str] | str] = {
    "good.org": ["MX 10 mx.good.org."],
    "address-alone.org": ["A 93.184.216.34"],
    "null-mx.org": ["MX 0 ."],
    "web-alone.org": ["TXT hello"],
    "at-home.org": ["A 127.0.0.1"],
    "broken.org": BROKEN,
    "silent.org": SILENT,
    "xn--bcher-kva.org": ["MX 10 mx.good.org."],
}


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer(ZONE)
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("domain", "refusal"),
    [
        ("good.org", None),
        ("address-alone.org", None),
        ("bücher.org", None),
        ("no-such-domain.org", "does not exist"),
        ("null-mx.org", "does not accept email"),
        ("web-alone.org", "does not accept email"),
        ("at-home.org", "does not accept email"),
        ("broken.org", None),
    ],
)
def test_domain_is_refused_only_when_dns_shows_that_it_accepts_no_mail(
    names: NameServer, domain: str, refusal: str | None
) -> None:
    said = Domains(names.resolver()).refusal(f"maria@{domain}")
    assert (said is None) if refusal is None else (said and refusal in said)
    assert names.asked


def test_dns_timeout_refuses_no_address_and_is_not_repeated(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver repeats a query every 2 seconds, up to the time limit."""
    monkeypatch.setattr(mx, "PATIENCE", 0.2)
    assert Domains(names.resolver()).refusal("maria@silent.org") is None
    assert names.asked == ["silent.org MX"]
    away = dns.resolver.Resolver(configure=False)
    assert Domains(away).refusal("maria@good.org") is None


def test_dns_answer_is_cached(names: NameServer) -> None:
    looking = Domains(names.resolver())
    for name in ("maria", "jon"):
        assert looking.refusal(f"{name}@good.org") is None
    assert names.asked == ["good.org MX"]


def test_mail_to_a_domain_without_mail_is_given_up_unsent(app: Flask, names: NameServer) -> None:
    server = MailServer().start()
    try:
        with app.app_context(), Session(db.engine) as session:
            writing(session)
            for domain in ("good.org", "no-such-domain.org", "broken.org"):
                one = lead(f"maria@{domain}")
                session.add(one)
                queue_mail(session, MailKind.CONFIRM, one)
            session.commit()
            worker = make_worker(db.engine, server.url, domains=Domains(names.resolver()))
            delivery = worker.deliver_due()
            assert (delivery.sent, delivery.dead) == (2, 1)
            dead = session.scalars(select(Message).where(Message.state == "dead")).one()
    finally:
        server.stop()
    assert dead.error == "The domain name no-such-domain.org does not exist."
    assert {mail.recipient for mail in server.mails} == {"maria@good.org", "maria@broken.org"}


def test_worker_asks_dns_only_with_mx_check(
    make_app: Any, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mx, "_of_machine", names.resolver)
    for given in ({}, {"mx_check": True}):
        app = make_app(**given)
        with app.app_context():
            with Session(db.engine) as session:
                writing(session)
                one = lead()
                session.add(one)
                one.email = f"maria{one.id}@null-mx.org"
                queue_mail(session, MailKind.CONFIRM, one)
                session.commit()
            processes._worker().deliver_due()
        assert bool(names.asked) == bool(given)
