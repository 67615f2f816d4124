"""Every state, kind and role in pages, admin area, exports and mail.

A new member that one of these places does not handle fails here under its name.
"""

import csv
import io
import re
from datetime import timedelta
from html import escape, unescape
from pathlib import Path
from typing import Any, assert_never

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.admin.access import PAGES
from crossroads.fulfillment import drifts
from crossroads.leads import consent
from crossroads.leads import lifecycle as leads
from crossroads.leads.consent import Evidence
from crossroads.leads.lifecycle import Touch
from crossroads.mail.kinds import MailKind
from crossroads.orders import ledger
from crossroads.orders import lifecycle as orders
from crossroads.web.order_view import PageState
from models import (
    Announcement,
    Lead,
    Message,
    Order,
    StripeEvent,
    Suppression,
    Waiting,
    db,
    now,
    writing,
)
from models.announcement import AnnouncementState
from models.consent import ConsentKind
from models.enrollment import EnrollmentState
from models.labels import Labeled
from models.lead import LeadState
from models.message import MessageState
from models.order import OrderEventKind, OrderState
from models.stripe_event import StripeEventState
from models.stripe_words import DisputeStatus, RefundStatus
from models.suppression import SuppressionReason
from models.user import Role
from models.waiting_list import WaitingState
from tests.support.desk_visits import desk, send
from tests.support.order_states import bring, with_event
from tests.support.people import address
from tests.support.purchases import heading
from tests.support.sandbox_server import SandboxServer
from tests.support.workers import WORDS, make_worker

TEST = Evidence(form="test")
# How the title of an order event begins in the admin area where it is not the event's label.
TOLD = {
    OrderEventKind.REFUND: "Refund of",
    OrderEventKind.DUPLICATE: "Second payment of",
    OrderEventKind.DISPUTE: "Dispute of",
    OrderEventKind.DUPLICATE_DISPUTE: "Dispute of",
    OrderEventKind.NAMED: "Seat 2 named",
}


@pytest.fixture
def app(make_app: Any, sandbox: SandboxServer) -> Flask:
    built: Flask = make_app(stripe_api_base=sandbox.url)
    return built


@pytest.fixture
def owner(app: Flask) -> FlaskClient:
    return desk(app)


def status(state: Labeled) -> str:
    return f'<span class="status is-{state}">{escape(state.label)}</span>'


def option(state: Labeled) -> re.Pattern[str]:
    return re.compile(rf'<option value="{state}"[^>]*>{re.escape(escape(state.label))}</option>')


def exported(client: FlaskClient, path: str, state: Labeled) -> list[str]:
    """Return the states of the rows of an export that is filtered by one state."""
    with send(client, f"{path}/export", {"format": "csv", "state": state}, page=path) as answer:
        assert answer.status_code == 200, state
        rows = csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"), newline=""))
        return [row["state"] for row in rows]


def page(client: FlaskClient, path: str, about: object) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, f"{about!r}: {path} answers {answer.status_code}"
    return unescape(answer.text)


def deliver(app: Flask, instance: Path) -> None:
    with app.app_context():
        make_worker(db.engine, instance=instance, words=WORDS).deliver_due()


@pytest.mark.parametrize(
    "members",
    [
        AnnouncementState,
        ConsentKind,
        DisputeStatus,
        EnrollmentState,
        LeadState,
        MessageState,
        OrderEventKind,
        OrderState,
        PageState,
        RefundStatus,
        Role,
        StripeEventState,
        SuppressionReason,
        WaitingState,
    ],
)
def test_each_member_has_a_label_of_its_own(members: type[Labeled]) -> None:
    labels = [member.label for member in members]
    assert all(labels), members
    assert len(set(labels)) == len(labels)


def test_each_order_state_reaches_page_list_record_export_and_mail(
    app: Flask, owner: FlaskClient, session: Session, tmp_path: Path
) -> None:
    writing(session)
    made = {state: bring(session, state) for state in OrderState}
    found = {state: (order.id, order.token) for state, order in made.items()}
    session.commit()
    listed = owner.get("/admin/orders").text
    for state, (number, token) in found.items():
        assert option(state).search(listed), state
        narrowed = page(owner, f"/admin/orders?state={state}", state)
        assert re.findall(r'href="/admin/orders/(\d+)"', narrowed) == [str(number)], state
        assert status(state) in page(owner, f"/admin/orders/{number}", state), state
        assert exported(owner, "/admin/orders", state) == [state], state
        html = page(app.test_client(), f"/orders/{token}", state)
        assert heading(html) in {one.label for one in PageState}, state
    session.rollback()
    deliver(app, tmp_path)
    for state, (number, _) in found.items():
        mails = session.scalars(select(Message).where(Message.order_id == number)).all()
        assert {mail.state for mail in mails} <= {MessageState.SENT}, state
        assert bool(mails) == (state.paid or state == OrderState.FAILED), state


@pytest.mark.parametrize("state", PageState)
def test_each_state_of_the_order_page_has_its_text(state: PageState, app: Flask) -> None:
    source = app.jinja_env.get_template(f"checkout/order/{state}.html")
    assert source.filename is not None
    assert '<p class="lede">' in Path(source.filename).read_text(encoding="utf-8")


def test_each_order_event_is_described_at_the_desk_and_by_the_sweep(
    app: Flask, owner: FlaskClient, session: Session
) -> None:
    writing(session)
    made = {kind: with_event(session, kind).id for kind in OrderEventKind}
    session.commit()
    for kind, number in made.items():
        order = session.get_one(Order, number)
        assert kind in {event.kind for event in ledger.events(session, order)}, kind
        told = TOLD.get(kind, kind.label)
        assert f"<h3>{told}" in page(owner, f"/admin/orders/{number}", kind), kind
        for cause in {event.cause for event in ledger.events(session, order)}:
            assert all(drifts.describe_changes(session, order, 0, cause)), kind


@pytest.mark.parametrize("status", RefundStatus)
def test_each_refund_status_is_shown_at_the_desk(
    status: RefundStatus, owner: FlaskClient, session: Session
) -> None:
    writing(session)
    order = bring(session, OrderState.PAID)
    number, facts = order.id, {"subject": "re_1", "status": status, "amount": 100}
    ledger.record(session, order, OrderEventKind.REFUND, "test", **facts)
    session.commit()
    assert f": {status.label}</h3>" in page(owner, f"/admin/orders/{number}", status)
    page(owner, "/admin/orders", status)


@pytest.mark.parametrize("status", DisputeStatus)
def test_each_dispute_status_is_shown_at_the_desk(
    status: DisputeStatus, owner: FlaskClient, session: Session
) -> None:
    writing(session)
    order = bring(session, OrderState.PAID)
    number, facts = order.id, {"subject": "du_1", "status": status, "amount": 100}
    ledger.record(session, order, OrderEventKind.DISPUTE, "test", reason="fraudulent", **facts)
    session.commit()
    assert f": {status.label}</h3>" in page(owner, f"/admin/orders/{number}", status)
    cases = page(owner, "/admin/orders/disputes", status)
    assert status.label.capitalize() in cases or not status.settled


def brought(session: Session, state: LeadState) -> Lead:
    """Return a lead that consent events have brought to this state."""
    match state:
        case LeadState.PENDING:
            kinds = [ConsentKind.GIVEN]
        case LeadState.CONFIRMED:
            kinds = [ConsentKind.GIVEN, ConsentKind.CONFIRMED]
        case LeadState.UNSUBSCRIBED:
            kinds = [ConsentKind.GIVEN, ConsentKind.CONFIRMED, ConsentKind.UNSUBSCRIBED]
        case LeadState.HELD:
            kinds = [ConsentKind.HELD]
        case LeadState.WAITING:
            kinds = [ConsentKind.ASKED_TO_WAIT]
        case LeadState.ERASED:
            kinds = [ConsentKind.GIVEN]
        case _:
            assert_never(state)
    lead = new_lead(session, f"{state}@example.com", consent.first_state(kinds[0]))
    for kind in kinds:
        consent.record(session, lead, kind, TEST)
    if state == LeadState.ERASED:
        leads.erase(session, lead, TEST)
    assert lead.state == state
    return lead


def new_lead(session: Session, email: str, state: LeadState = LeadState.PENDING) -> Lead:
    lead = leads.find_or_add(
        session, address=address(email), name="", touch=Touch(page="/compare"), state=state
    )
    session.flush()
    return lead


def test_each_state_of_a_lead_reaches_page_list_record_export_and_mail(
    app: Flask, owner: FlaskClient, session: Session, tmp_path: Path
) -> None:
    writing(session)
    made = {state: brought(session, state) for state in LeadState}
    for lead in made.values():
        session.add(welcome(lead))
    found = {
        state: (lead.id, lead.confirm_token, lead.unsubscribe_token) for state, lead in made.items()
    }
    session.commit()
    listed = owner.get("/admin/leads").text
    visitor = app.test_client()
    for state, (number, confirm, unsubscribe) in found.items():
        assert option(state).search(listed), state
        narrowed = page(owner, f"/admin/leads?state={state}", state)
        assert re.findall(r'href="/admin/leads/(\d+)"', narrowed) == [str(number)], state
        assert status(state) in narrowed, state
        assert status(state) in page(owner, f"/admin/leads/{number}", state), state
        assert exported(owner, "/admin/leads", state) == [state], state
        page(visitor, f"/confirm/{confirm}", state)
        page(visitor, f"/unsubscribe/{unsubscribe}", state)
    session.rollback()
    deliver(app, tmp_path)
    for state, (number, *_) in found.items():
        (found_mail,) = session.scalars(select(Message).where(Message.lead_id == number)).all()
        sent = state == LeadState.CONFIRMED
        assert found_mail.state == (MessageState.SENT if sent else MessageState.HELD), state


def test_each_consent_event_is_at_the_desk_and_in_the_data_export(
    owner: FlaskClient, session: Session
) -> None:
    writing(session)
    made = {kind: new_lead(session, f"{kind}@example.com") for kind in ConsentKind}
    for kind, lead in made.items():
        consent.record(session, lead, ConsentKind.GIVEN, TEST)
        if kind == ConsentKind.RESUBSCRIBED:
            consent.record(session, lead, ConsentKind.UNSUBSCRIBED, TEST)
        consent.record(session, lead, kind, TEST)
        assert consent.state_of(consent.events_of(session, lead.id)) == lead.state, kind
    found = {kind: (lead.id, lead.address_hash) for kind, lead in made.items()}
    session.commit()
    for kind, (number, address_hash) in found.items():
        assert f"<h3>{kind.label}</h3>" in page(owner, f"/admin/leads/{number}", kind), kind
        person = f"/admin/people/{address_hash}"
        if kind != ConsentKind.ERASED:  # an erased person has no data export
            assert f'"{kind}"' in send(owner, f"{person}/data", {}, page=person).text, kind


def mail(kind: str, recipient: str, state: MessageState) -> Message:
    return Message(
        kind=kind, recipient=recipient, address_hash=address(recipient).hash, state=state
    )


def welcome(lead: Lead) -> Message:
    return Message(
        kind=MailKind.WELCOME,
        recipient=lead.email,
        address_hash=lead.address_hash,
        lead_id=lead.id,
    )


def test_each_state_of_a_mail_reaches_list_record_and_order_page(
    app: Flask, owner: FlaskClient, session: Session
) -> None:
    writing(session)
    order = bring(session, OrderState.PAID, number=len(MessageState))
    lead = new_lead(session, "maria@example.com")
    seats = orders.enrollments(session, order)
    for seat, state in zip(seats, MessageState, strict=True):
        seat.email, seat.address_hash = f"{state}@example.com", address(f"{state}@example.com").hash
        invited = mail(MailKind.INVITATION, seat.email, state)
        invited.order_id, invited.enrollment_id = order.id, seat.id
        welcomed = mail(MailKind.WELCOME, seat.email, state)
        welcomed.lead_id = lead.id
        session.add_all([invited, welcomed])
    token, lead_id = order.token, lead.id
    session.commit()
    listed = owner.get("/admin/mail").text
    record = page(owner, f"/admin/leads/{lead_id}", MessageState)
    for state in MessageState:
        assert option(state).search(listed), state
        assert status(state) in page(owner, f"/admin/mail?state={state}", state), state
        assert status(state) in record, state
    page(app.test_client(), f"/orders/{token}", MessageState)


@pytest.mark.parametrize("role", Role)
def test_each_role_sees_only_its_sections(role: Role, app: Flask) -> None:
    client = desk(app, role)
    home = page(client, "/admin/", role)
    labels = {label for label, _, roles in PAGES if role in roles}
    assert len(labels) > 1
    menu = home.partition("<main")[0]
    assert {label for label, *_ in PAGES if f">{label}</a>" in menu} == labels


@pytest.mark.parametrize("state", AnnouncementState)
def test_each_state_of_an_announcement_reaches_list_and_record(
    state: AnnouncementState, owner: FlaskClient, session: Session
) -> None:
    writing(session)
    stored = AnnouncementState.SENDING if state == AnnouncementState.SENT else state
    one = Announcement(subject="News", body="Hello.", rate=60, state=stored, queued_at=now())
    session.add(one)
    session.flush()
    if state == AnnouncementState.SENDING:  # its one mail is not sent yet
        one.receivers = 1
        queued = mail(MailKind.ANNOUNCEMENT, "maria@example.com", MessageState.DUE)
        queued.announcement_id = one.id
        session.add(queued)
    number = one.id
    session.commit()
    assert status(state) in page(owner, "/admin/announcements", state)
    assert status(state) in page(owner, f"/admin/announcements/{number}", state)


@pytest.mark.parametrize("reason", SuppressionReason)
def test_each_reason_of_a_suppression_reaches_record_person_and_mail(
    reason: SuppressionReason, app: Flask, owner: FlaskClient, session: Session, tmp_path: Path
) -> None:
    writing(session)
    lead = new_lead(session, "maria@example.com")
    session.add(Suppression(address_hash=lead.address_hash, reason=reason))
    due = welcome(lead)
    session.add(due)
    number, address_hash = lead.id, lead.address_hash
    session.commit()
    assert f"<dd>{reason.label}" in page(owner, f"/admin/leads/{number}", reason)
    assert f"<dd>{reason.label}" in page(owner, f"/admin/people/{address_hash}", reason)
    deliver(app, tmp_path)
    session.refresh(due)
    assert (due.state, due.error) == (MessageState.HELD, f"the address is {reason}")


@pytest.mark.parametrize("state", EnrollmentState)
def test_each_seat_state_is_shown_at_the_desk(
    state: EnrollmentState, owner: FlaskClient, session: Session
) -> None:
    writing(session)
    order = bring(session, OrderState.PAID)
    (seat,) = orders.enrollments(session, order)
    match state:
        case EnrollmentState.NAMED:
            shown = str(seat.email).replace("@", "<wbr>@")
        case EnrollmentState.UNNAMED:
            seat.email, seat.address_hash, shown = None, "", state.label
        case EnrollmentState.RELEASED:
            seat.kept, shown = False, f"<b>{state.label}.</b>"
        case EnrollmentState.REPLACED:
            seat.ended_at, shown = now(), f"<b>{state.label}</b>"
        case _:
            assert_never(state)
    session.flush()
    assert seat.state == state
    number = order.id
    session.commit()
    assert shown in page(owner, f"/admin/orders/{number}", state)


@pytest.mark.parametrize("state", WaitingState)
def test_each_waiting_list_state_is_shown_at_the_desk(
    state: WaitingState, owner: FlaskClient, session: Session
) -> None:
    writing(session)
    lead = new_lead(session, "maria@example.com", LeadState.WAITING)
    one = Waiting(lead_id=lead.id, course="c", cohort="d", confirm_until=now() + timedelta(days=1))
    match state:
        case WaitingState.ASKED:
            pass
        case WaitingState.WAITS:
            one.since = now()
        case WaitingState.LEFT:
            one.since, one.left_at = now(), now()
        case _:
            assert_never(state)
    session.add(one)
    number = lead.id
    session.commit()
    assert f"<td>{state.label}</td>" in page(owner, f"/admin/leads/{number}", state)


@pytest.mark.parametrize("state", StripeEventState)
def test_each_webhook_event_state_is_shown_at_the_desk(
    state: StripeEventState, owner: FlaskClient, session: Session
) -> None:
    writing(session)
    order = bring(session, OrderState.PAID)
    kind = "checkout.session.completed"
    event = StripeEvent(id="evt_1", kind=kind, object_id=str(order.session_id))
    match state:
        case StripeEventState.DUE:
            pass
        case StripeEventState.DONE:
            event.done_at = now()
        case _:
            assert_never(state)
    session.add(event)
    number = order.id
    session.commit()
    assert f", evt_1, {state.label}" in page(owner, f"/admin/orders/{number}", state)
