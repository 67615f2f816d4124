"""Leads, and files of leads to import."""

from pathlib import Path
from typing import Any

from click.testing import Result
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.leads import lifecycle as leads
from crossroads.leads.consent import Evidence
from crossroads.leads.imports import importer
from crossroads.leads.lifecycle import Touch
from crossroads.mail import eligibility
from crossroads.mail.kinds import MailKind
from crossroads.privacy import person
from models import Base, Lead, Message, writing
from models.base import AnySession
from tests.support.people import address, hashed
from tests.support.queued_mail import queue_mail

PROOF = Evidence(form="signup")


def flask(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=arguments)


def take(app: Flask, file: Path, text: str | bytes, *arguments: str) -> Result:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    source = () if "--consent-source" in arguments else ("--consent-source", "Fair in Ulm: a card")
    return flask(app, "leads", "import", str(file), *source, *arguments)


def everything(session: Session) -> list[str]:
    """Return every row of every table, and end the transaction."""
    session.rollback()
    found = [session.execute(select(table)).all() for table in Base.metadata.sorted_tables]
    session.rollback()
    return [one for rows in found for one in sorted(map(str, rows))]


def join(session: Session, email: str, *acts: str) -> None:
    """Sign a person up, and then do the named actions."""
    session.rollback()
    writing(session)
    signup = leads.Submission(
        address=address(email), name="", touch=Touch(), wording="Email me.", evidence=PROOF
    )
    leads.capture(session, [signup])
    lead = leads.of_address(session, address(email))
    assert lead is not None
    for act in acts:
        if act == "erase":
            found = person.find(session, hashed(email), lock=True)
            assert found is not None
            person.erase(session, found, PROOF)
        elif act == "bounce":
            message = session.scalars(
                select(Message).where(Message.address_hash == hashed(email))
            ).first()
            assert message is not None
            leads.bounced(session, message)
        else:
            token = lead.confirm_token if act == "confirm" else lead.unsubscribe_token
            assert getattr(leads, act)(session, token, PROOF) == "done"
    session.commit()


def mailable(session: Session) -> set[str]:
    """Return the receivers that eligibility admits for a mail to all leads."""
    found = set()
    for lead in session.scalars(select(Lead).where(Lead.email != "")).all():
        queue_mail(session, MailKind.ALREADY, lead)
        session.flush()
        message = session.scalars(select(Message).order_by(Message.id.desc())).first()
        assert message is not None
        if eligibility.admit(session, message, "worker") is not None:
            found.add(lead.email_key)
    session.rollback()
    return found


def facts(session: Session) -> set[tuple[Any, ...]]:
    """Return the stored facts about leads that confirmed or unsubscribed."""
    names = ["email", "email_key", "name", "state", "utm_source", "last_page"]
    query = select(*(getattr(Lead, name) for name in names))
    return {tuple(row) for row in session.execute(query) if row.state in importer.KINDS}


def confirmed(session: AnySession) -> set[str]:
    return set(session.scalars(select(Lead.email).where(Lead.state == "confirmed")))
