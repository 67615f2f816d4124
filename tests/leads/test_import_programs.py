"""Exports of other programs: people marked as unsubscribed or bounced never become mailable.

"Seen" is a head that a reader of such files or the program's own code names. The rest is assumed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Lead, db
from tests.support.lead_imports import mailable, take
from tests.support.people import SUPPRESSION_KEY

YES, GONE = "yes{}@example.com", "gone{}@example.com"


@dataclass(frozen=True, kw_only=True)
class Export:
    """A program's file: its head, and lines of people who agreed and of people who left.

    {} is replaced by the person's address.
    """

    head: str
    agreed: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def text(self) -> str:
        lines = [
            line.replace("{}", address.format(number))
            for address, lines in ((YES, self.agreed), (GONE, self.gone))
            for number, line in enumerate(lines)
        ]
        return "\n".join((self.head, *lines)) + "\n"


EXPORTS = {
    # Seen: email, status, tags, unsubscribed_at, acquisition_source and last_opened_at, in two
    # readers of its file. States: the OpenAPI description of its subscriptions. Assumed: the rest.
    "beehiiv": Export(
        head="email,status,created_at,unsubscribed_at,subscription_tier,acquisition_source,"
        "open_rate,last_opened_at,tags,utm_source",
        agreed=("{},active,2026-07-01T10:00:00Z,,free,api,0.5,2026-07-09T10:00:00Z,vip,x",),
        gone=(
            "{},inactive,2026-07-01T10:00:00Z,2026-07-02T10:00:00Z,free,api,0.5,,,x",
            "{},active,2026-07-01T10:00:00Z,2026-07-02T10:00:00Z,free,api,0.5,,,x",
            "{},pending,2026-07-01T10:00:00Z,,free,api,,,,",
            "{},validating,2026-07-01T10:00:00Z,,free,api,,,,",
            "{},invalid,2026-07-01T10:00:00Z,,premium,api,,,,",
            "{},needs_attention,2026-07-01T10:00:00Z,,free,api,,,,",
        ),
    ),
    # Seen: the heads, in a script over active_leads.csv and inactive_leads.csv of a whole account.
    # Assumed: the values.
    "AWeber, account": Export(
        head="Email,Name 1,Status,Inactive Date,Date Added,Add Method,Verified,tags",
        agreed=("{},Ann,subscribed,,2026-01-02 10:00:00,Web form,yes,vip",),
        gone=(
            "{},Bob,unsubscribed,2026-02-02 10:00:00,2026-01-02 10:00:00,Web form,yes,",
            "{},Bob,undeliverable,2026-02-02 10:00:00,2026-01-02 10:00:00,Import,yes,",
            "{},Bob,subscribed,2026-02-02 10:00:00,2026-01-02 10:00:00,Web form,yes,",
            "{},Bob,subscribed,,2026-01-02 10:00:00,Web form,no,",
        ),
    ),
    # Assumed: all of it.
    "AWeber, list": Export(
        head="Name,Email,Date Added,Stop Time,Stop Status,Ad Tracking,IP Address",
        agreed=("Ann,{},01/13/2026 10:00 AM,,,web,192.0.2.1",),
        gone=(
            "Bob,{},01/13/2026 10:00 AM,02/13/2026 10:00 AM,unsubscribed,web,192.0.2.1",
            "Bob,{},01/13/2026 10:00 AM,02/13/2026 10:00 AM,undeliverable,web,192.0.2.1",
        ),
    ),
    # Seen: Subscriber, Name, Last name, Subscribed and Groups, in the notes of a reader of its
    # file; the words of the status in its help pages. Assumed: the rest.
    "MailerLite": Export(
        head="Subscriber,Status,Sent,Opens,Clicks,Subscribed,Unsubscribed,Location,Name,Last name,"
        "Groups",
        agreed=("{},active,9,7,1,2026-01-02 10:00:00,,Ulm,Ann,Example,News",),
        gone=(
            "{},unsubscribed,9,0,0,2026-01-02 10:00:00,2026-02-02 10:00:00,,Bob,Example,News",
            "{},active,9,0,0,2026-01-02 10:00:00,2026-02-02 10:00:00,,Bob,Example,News",
            "{},bounced,9,0,0,2026-01-02 10:00:00,,,Bob,Example,News",
            "{},junk,9,0,0,2026-01-02 10:00:00,,,Bob,Example,News",
            "{},unconfirmed,0,0,0,,,,Bob,Example,News",
        ),
    ),
    # Seen: the four states, at help.activecampaign.com. Assumed: the heads.
    "ActiveCampaign": Export(
        head='"Email","First Name","Last Name","Phone","Account Name","Tags","Contact ID",'
        '"Date Created","IP Address","Status"',
        agreed=('"{}","Ann","Example","","Firm","vip","1","2026-01-02 10:00:00","","Active"',),
        gone=(
            '"{}","Bob","Example","","Firm","","2","2026-01-02 10:00:00","","Unsubscribed"',
            '"{}","Bob","Example","","Firm","","3","2026-01-02 10:00:00","","Unconfirmed"',
            '"{}","Bob","Example","","Firm","","4","2026-01-02 10:00:00","","Bounced"',
        ),
    ),
    # Assumed: all of it, from the fields that its API (rest.cleverreach.com) has for a receiver:
    # times as seconds, 0 for never.
    "CleverReach": Export(
        head="email;registered;activated;deactivated;bounced;source;firstname;lastname",
        agreed=("{};1705312800;1705312900;0;0;Web;Ann;Example",),
        gone=(
            "{};1705312800;1705312900;1715312900;0;Web;Bob;Example",
            "{};1705312800;0;0;0;Web;Bob;Example",
            "{};1705312800;1705312900;0;1715312900;Web;Bob;Example",
        ),
    ),
    "CleverReach, in German": Export(
        head="E-Mail;Anmeldedatum;Aktiviert am;Abmeldedatum;Status;Vorname;Nachname",
        agreed=("{};13.01.2026 10:00;13.01.2026 10:05;;aktiv;Ann;Beispiel",),
        gone=(
            "{};13.01.2026 10:00;13.01.2026 10:05;14.02.2026 10:00;inaktiv;Bob;Beispiel",
            "{};13.01.2026 10:00;13.01.2026 10:05;14.02.2026 10:00;aktiv;Bob;Beispiel",
            "{};13.01.2026 10:00;;;inaktiv;Bob;Beispiel",
        ),
    ),
    # Seen: Email Opt Out, in programs that read its records. Assumed: the rest.
    "Zoho CRM": Export(
        head="Record Id,First Name,Last Name,Email,Email Opt Out,Unsubscribed Mode,"
        "Unsubscribed Time,Created Time,Lead Source",
        agreed=("zcrm_1,Ann,Example,{},false,,,2026-01-02 10:00:00,Fair",),
        gone=(
            "zcrm_2,Bob,Example,{},true,,,2026-01-02 10:00:00,Fair",
            "zcrm_3,Bob,Example,{},false,Manual,2026-02-02 10:00:00,2026-01-02 10:00:00,Fair",
        ),
    ),
    # Seen: bounced, blocked, unsubscribed, invalid and non-marketing contacts, at help.zoho.com.
    # Assumed: the heads.
    "Zoho Campaigns": Export(
        head="Contact Email,First Name,Last Name,Contact Status,Added Time",
        agreed=("{},Ann,Example,Active,2026-01-02 10:00:00",),
        gone=(
            "{},Bob,Example,Unsubscribed,2026-01-02 10:00:00",
            "{},Bob,Example,Bounced,2026-01-02 10:00:00",
            "{},Bob,Example,Blocked,2026-01-02 10:00:00",
            "{},Bob,Example,Invalid,2026-01-02 10:00:00",
            "{},Bob,Example,Non-marketing,2026-01-02 10:00:00",
            "{},Bob,Example,Do-Not-Mail,2026-01-02 10:00:00",
        ),
    ),
    # Seen: the heads, in several readers of its file. Unsubscribes are in other files: see below.
    "SendGrid, contacts": Export(
        head="EMAIL,FIRST_NAME,LAST_NAME,ADDRESS_LINE_1,ADDRESS_LINE_2,CITY,STATE_PROVINCE_REGION,"
        "POSTAL_CODE,COUNTRY,ALTERNATE_EMAILS,PHONE_NUMBER,WHATSAPP,LINE,FACEBOOK,UNIQUE_NAME,"
        "CREATED_AT,UPDATED_AT,CONTACT_ID",
        agreed=("{},Ann,Example,,,Ulm,,89073,DE,,,,,,,2026-01-02T10:00:00Z,2026-01-02T10:00:00Z,1",),
        gone=(),
    ),
}  # fmt: skip


@pytest.fixture
def site(make_app: Any) -> Flask:
    """A site for tests that do not depend on the database."""
    built: Flask = make_app(suppression_key=SUPPRESSION_KEY)
    return built


@pytest.fixture
def session(site: Flask) -> Iterator[Session]:
    with site.app_context():
        engine = db.engine
    with Session(engine) as session:
        yield session


@pytest.mark.parametrize("program", EXPORTS)
def test_only_people_without_an_opt_out_mark_become_mailable(
    site: Flask, session: Session, tmp_path: Path, program: str
) -> None:
    export = EXPORTS[program]
    result = take(site, tmp_path / "people.csv", export.text)
    assert result.exit_code == 0, result.stderr
    assert mailable(session) == {YES.format(number) for number in range(len(export.agreed))}
    lead = session.scalars(select(Lead).where(Lead.email == YES.format(0))).one()
    assert lead.name in ("Ann Example", "Ann Beispiel", "Ann", "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        # Seen: the head, in readers of the file. Its status is the reply code of the mail server.
        (
            "suppression_bounces.csv",
            'status,reason,email,created\n5.1.1,"550 no such user, sorry",{},1790083507\n',
        ),
        # Assumed: the heads of SendGrid's other files.
        ("suppression_unsubscribes.csv", "email,created\n{},1790083507\n"),
        ("suppression_spam_reports.csv", "email,ip,created\n{},192.0.2.1,1790083507\n"),
        ("suppression_invalid_emails.csv", "reason,email,created\nunknown domain,{},1790083507\n"),
        # Seen: Sendy's code writes one file for each state, named after it, without a head line.
        *(
            (f"news-{state}.csv", text)
            for state in ("unsubscribed", "bounced", "marked-as-spam", "unconfirmed", "all")
            for text in ('"Bob","{}"\n', "name,email\nBob,{}\n")
            if state != "all" or not text.startswith("name")
        ),
        ("news-active.csv", '"Bob","{}"\n'),
        # Seen: the name of AWeber's file.
        ("inactive_leads.csv", "Email,Name 1,Date Added\n{},Bob,2026-01-02 10:00:00\n"),
    ],
)
def test_file_named_after_an_opt_out_needs_a_status_column(
    site: Flask, session: Session, tmp_path: Path, name: str, text: str
) -> None:
    result = take(site, tmp_path / name, text.replace("{}", GONE.format(0)))
    assert result.exit_code == 1
    assert "add a column status" in result.stderr or "--column" in result.stderr
    assert session.scalars(select(Lead)).all() == []


def test_file_named_after_an_opt_out_is_read_with_a_status_column(
    site: Flask, session: Session, tmp_path: Path
) -> None:
    text = "name,email,status\nBob,{},unsubscribed\nAnn,{},active\n"
    text = text.replace("{}", GONE.format(0), 1).replace("{}", YES.format(0))
    assert take(site, tmp_path / "news-unsubscribed.csv", text).exit_code == 0
    assert mailable(session) == {YES.format(0)}
