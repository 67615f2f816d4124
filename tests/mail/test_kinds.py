"""The registry of mail kinds: each kind has its templates, its rule, and a label at the desk.

Every test runs once for each kind and names it, so that no part of a new kind is forgotten.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import assert_never

import pytest
from flask import Flask
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from crossroads.mail import outbox
from crossroads.mail.kinds import About, MailKind, SendIf
from crossroads.orders import participants
from models import Announcement, Enrollment, Lead, Message, OrderEvent, Waiting, db, now, writing
from models.message import MessageState
from models.order import OrderEventKind
from tests.support.databases import opened
from tests.support.desk_visits import desk, lead
from tests.support.order_states import COHORT, bring
from tests.support.paths import ROOT
from tests.support.people import address, hashed
from tests.support.workers import make_worker

pytestmark = pytest.mark.usefixtures("one_day")

TEMPLATES = ROOT / "templates/email"
FOLDERS = sorted(folder.name for folder in TEMPLATES.iterdir() if folder.is_dir())
BEN = "ben@example.com"
by_kind = pytest.mark.parametrize("kind", MailKind, ids=str)
# Mail about an order goes to its buyer in any state of the order or the address.
by_conditional_kind = pytest.mark.parametrize(
    "kind", [kind for kind in MailKind if kind.send_if is not SendIf.BUYER], ids=str
)


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    with opened(sqlite_url) as engine:
        yield engine


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        yield session


@by_kind
def test_kind_has_its_templates(kind: MailKind) -> None:
    folder = TEMPLATES / kind
    found = {file.name for file in folder.glob("*")}
    needed = {"subject.txt", "body.txt", "body.html"}
    lacking = ", ".join(sorted(needed - found))
    assert needed <= found, f"{folder.relative_to(ROOT)} lacks {lacking}"
    assert found == needed


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_of_templates_belongs_to_a_kind(folder: str) -> None:
    assert folder in list(MailKind)


@by_kind
def test_kind_is_delivered_to_a_receiver_in_the_required_state(
    session: Session, engine: Engine, instance: Path, kind: MailKind
) -> None:
    queue(session, kind, fits=True)
    delivery = make_worker(engine, instance=instance).deliver_due()
    message = session.scalars(select(Message).where(Message.state != MessageState.SENT)).all()
    assert [(one.kind, one.state, one.error) for one in message] == []
    assert delivery.sent == 1
    assert len(list((instance / "mail").glob("*.eml"))) == 1


@by_conditional_kind
def test_kind_is_held_for_a_receiver_in_another_state(
    session: Session, engine: Engine, instance: Path, kind: MailKind
) -> None:
    queue(session, kind, fits=False)
    assert make_worker(engine, instance=instance).deliver_due().held == 1
    assert not list((instance / "mail").glob("*.eml"))


def test_desk_shows_the_label_of_every_kind_in_list_and_filter(app: Flask) -> None:
    with app.app_context(), Session(db.engine) as session:
        session.add_all(
            Message(kind=kind, recipient=BEN, address_hash=hashed(BEN)) for kind in MailKind
        )
        session.commit()
    page = unescape(desk(app).get("/admin/mail").text)
    choices = dict(re.findall(r'<option value="([a-z-]+)">([^<]+)</option>', page))
    for kind in MailKind:
        assert choices.get(kind) == kind.label
        assert f'<td class="wide">{kind.label}</td>' in page


def test_names_at_the_desk_differ() -> None:
    kinds = defaultdict(list)
    for kind in MailKind:
        kinds[kind.label].append(kind.name)
    assert {label: names for label, names in kinds.items() if len(names) > 1} == {}


def test_unknown_kind_is_postponed_for_a_newer_worker(
    session: Session, engine: Engine, instance: Path
) -> None:
    session.add(Message(kind="postcard", recipient=BEN, address_hash=hashed(BEN)))
    session.commit()
    assert make_worker(engine, instance=instance).deliver_due().postponed == 1
    (message,) = session.scalars(select(Message))
    assert (message.state, message.error) == ("due", "no mail of kind postcard is known here")


def test_kind_can_be_queued_only_for_its_own_subject(session: Session) -> None:
    order, enrollment = bring(session, "paid"), named(session)
    person = add_lead(session, confirmed=True)
    verbs: dict[Callable[[MailKind], object], tuple[About, ...]] = {
        lambda kind: outbox.enqueue_rate_limited(session, kind, person): (
            About.LEAD,
            About.WAITING,
        ),
        lambda kind: outbox.enqueue_for_order(session, kind, order): (
            About.ORDER,
            About.UNPAID_ORDER,
        ),
        lambda kind: outbox.enqueue_for_participant(session, kind, enrollment): (About.SEAT,),
    }
    for verb, about in verbs.items():
        for kind in MailKind:
            if kind.about not in about:
                with pytest.raises(ValueError, match=f"of kind {kind} is about {kind.about}"):
                    verb(kind)


def queue(session: Session, kind: MailKind, *, fits: bool) -> None:
    """Queue one mail to a receiver in the state that its kind requires (`fits`), or in another."""
    match kind.send_if:
        case SendIf.BUYER:
            order = bring(session, "partly-refunded")
            event = select(OrderEvent.id).where(OrderEvent.kind == OrderEventKind.REFUND)
            number = session.scalars(event).one()
            clear(session)
            outbox.enqueue_for_order(session, kind, order, number)
        case SendIf.SEAT_TAKEN | SendIf.SEAT_LOST:
            enrollment = named(session)
            if (kind.send_if is SendIf.SEAT_LOST) is fits:
                enrollment.ended_at = now()
            outbox.enqueue_for_participant(session, kind, enrollment)
        case SendIf.LEAD_CONFIRMED | SendIf.LEAD_NOT_CONFIRMED:
            confirmed = (kind.send_if is SendIf.LEAD_CONFIRMED) is fits
            queue_for(session, kind, add_lead(session, confirmed=confirmed), None)
        case SendIf.WAITING | SendIf.NOT_WAITING:
            waits = (kind.send_if is SendIf.WAITING) is fits
            person = add_lead(session, confirmed=False)
            waiting = Waiting(
                lead_id=person.id,
                course="ai-pm-bootcamp",
                cohort=COHORT.code,
                confirm_until=now(),
                since=now() if waits else None,
            )
            session.add(waiting)
            session.flush()
            queue_for(session, kind, person, waiting)
        case _:
            assert_never(kind.send_if)
    session.commit()


def queue_for(session: Session, kind: MailKind, person: Lead, waiting: Waiting | None) -> None:
    if kind.about is About.ANNOUNCEMENT:
        waited_for = f"{waiting.course}/{waiting.cohort}" if waiting else ""
        announcement = Announcement(subject="News", body="Hello.", rate=60, waiting=waited_for)
        session.add(announcement)
        session.flush()
        outbox.announce(session, announcement.id, person, waiting, now())
        assert session.scalars(select(Message.kind)).one() == kind
    else:
        assert outbox.enqueue_rate_limited(session, kind, person, waiting=waiting)


def add_lead(session: Session, *, confirmed: bool) -> Lead:
    at = now() if confirmed else None
    person = lead(BEN, state="confirmed" if confirmed else "pending", confirmed_at=at)
    session.add(person)
    session.flush()
    return person


def named(session: Session) -> Enrollment:
    """Return a seat whose participant was named and has been sent the invitation."""
    order = bring(session, "paid", number=2)
    ben = participants.name(session, order, 2, 0, address=address(BEN), called="Ben", cohort=COHORT)
    clear(session, keep=MailKind.INVITATION)
    invitation = session.scalars(select(Message)).one()
    invitation.state, invitation.sent_at = MessageState.SENT, now()
    return ben


def clear(session: Session, keep: MailKind | None = None) -> None:
    """Delete the mails of the order from the outbox, except those of the kind `keep`."""
    session.flush()
    session.execute(delete(Message).where(Message.kind != (keep or "")))
