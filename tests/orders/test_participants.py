"""Participants: naming and replacing the holder of a seat of an order, on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from crossroads.mail import eligibility
from crossroads.orders import disputes, enrollments, ledger, participants, refunds
from crossroads.orders import lifecycle as orders
from crossroads.orders.participants import Changed, ParticipantError
from models import Enrollment, Message, Order, now, writing
from models.message import MessageState
from tests.support.order_states import dispute, refund
from tests.support.orders import COURSE, paid, with_checkout
from tests.support.participants import BEN, ZOE, bought, name

pytestmark = pytest.mark.usefixtures("one_day")

STARTED = "2027-01-19T12:00:00+00:00"


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def seated(session: Session, order: Order) -> list[str | None]:
    return [one.email for one in orders.enrollments(session, order)]


def mails(session: Session, *kinds: str) -> list[tuple[str, str]]:
    query = select(Message.kind, Message.recipient).order_by(Message.id)
    return [(kind, to) for kind, to in session.execute(query) if kind in kinds]


def told(session: Session) -> list[tuple[str, str]]:
    return mails(session, "invitation", "replaced", "withdrawn")


def returned(session: Session, order: Order, *wanted: int, seats: int = 1) -> str:
    """Refund these seats as requested at the desk, with success at Stripe."""
    asked = refunds.request(session, order.id, "desk", seats=seats, amount=None, wanted=wanted)
    amount = seats * COURSE.price.amount
    refunds.record_status(session, order, refund(order, reference=asked, amount=amount), "desk")
    return asked


def test_named_participant_is_invited(session: Session) -> None:
    order = bought(session)
    given = name(session, order, 2)
    assert seated(session, order) == ["maria@example.com", BEN, None]
    assert told(session) == [("invitation", BEN)]
    assert enrollments.has_access(session, given) == "given"
    assert ledger.balance_of(session, order).named == {2: 1}
    found = participants.seats_of(session, order)
    assert [(one.named, one.own, one.mail) for one in found] == [
        (True, True, None), (True, False, "due"), (False, False, None)
    ]  # fmt: skip


def test_replaced_participant_loses_access_and_next_gets_a_new_link(
    session: Session,
) -> None:
    order = bought(session)
    ben = name(session, order, 2)
    zoe = name(session, order, 2, ZOE, turn=1)
    assert seated(session, order) == ["maria@example.com", ZOE, None]
    assert (enrollments.has_access(session, ben), enrollments.has_access(session, zoe)) == (
        "none",
        "given",
    )
    assert ben.token != zoe.token
    assert told(session) == [("invitation", BEN), ("replaced", BEN), ("invitation", ZOE)]
    assert name(session, order, 2, BEN, turn=2).token not in (ben.token, zoe.token)


def test_buyer_may_give_away_the_own_seat_and_take_another(session: Session) -> None:
    order = bought(session)
    name(session, order, 1)
    assert enrollments.own_seat(session, order) is None
    assert enrollments.bought(session, order).token is None
    mine = name(session, order, 3, "Maria@Example.com")
    assert enrollments.own_seat(session, order) is mine


def test_mail_goes_to_the_holder_and_to_former_holders_who_were_told(
    session: Session,
) -> None:
    order = bought(session)
    ben = name(session, order, 2)
    name(session, order, 2, ZOE, turn=1)
    name(session, order, 1, "eve@example.com")
    session.commit()

    expected = {
        ("invitation", BEN): "the receiver no longer has the seat",
        ("replaced", BEN): "the receiver was never invited",
        ("invitation", ZOE): "",
        ("replaced", "maria@example.com"): "",  # the buyer got the mail about the order
        ("invitation", "eve@example.com"): "",
    }
    query = select(Message).where(Message.enrollment_id.is_not(None))
    for message in session.scalars(query):
        message.owner = "test"
    session.commit()
    found = {}
    for message in session.scalars(query).all():
        receiver = eligibility.admit(session, message, "test")
        session.refresh(message)
        found[message.kind, message.recipient] = "" if receiver else message.error
    assert found == expected
    session.rollback()
    heard = session.scalars(
        select(Message).where(Message.kind == "invitation", Message.enrollment_id == ben.id)
    ).one()
    heard.state, heard.sent_at = MessageState.SENT, now()
    gone = session.scalars(
        select(Message).where(Message.kind == "replaced", Message.enrollment_id == ben.id)
    ).one()
    assert eligibility.admit(session, gone, "test") is ben


@pytest.mark.parametrize(
    ("email", "said"),
    [
        ("MARIA@example.com", "This person has seat 1 already"),
        (ZOE, "This person has this seat already"),
        ("other@example.com", "already has a seat on these dates from another order"),
    ],
)
def test_one_person_cannot_have_two_seats_of_a_cohort(
    session: Session, email: str, said: str
) -> None:
    other = with_checkout(session, email="other@example.com")
    orders.fulfill(session, other.id, paid(other), "test")
    order = bought(session)
    name(session, order, 2, ZOE)
    with pytest.raises(ParticipantError, match=said):
        name(session, order, 2, email, turn=1)
    assert seated(session, order)[1] == ZOE
    if email.startswith("other"):  # a refunded seat does not count
        refunds.record_status(session, other, refund(other), "event")
        name(session, order, 2, email, turn=1)


def test_participant_can_be_replaced_until_the_course_starts(session: Session) -> None:
    order = bought(session)
    name(session, order, 2)
    with time_machine.travel(STARTED):
        with pytest.raises(ParticipantError, match=f"write to us and mention order {order.id}"):
            name(session, order, 2, ZOE, turn=1)
        name(session, order, 3, ZOE)  # this seat had no participant yet
    with (
        time_machine.travel("2027-03-12T12:00:00+00:00"),
        pytest.raises(ParticipantError, match="This course is over"),
    ):
        name(session, order, 3, "eve@example.com", turn=1)
    other = bought(session, email="late@example.com")
    with pytest.raises(ParticipantError, match="can no longer change its participant"):
        name(session, other, 1, "eve@example.com", cohort=None)  # removed from the content


def test_name_can_be_corrected_until_the_course_ends(session: Session) -> None:
    order = bought(session)
    ben = name(session, order, 2)
    for at in ("2026-11-23T12:00:00+00:00", STARTED):
        with time_machine.travel(at):
            assert name(session, order, 2, "BEN@example.com", turn=1, called=f"Ben {at}") is ben
    assert (ben.name, ben.email) == (f"Ben {STARTED}", BEN)
    assert told(session) == [("invitation", BEN)]
    assert ledger.balance_of(session, order).named == {2: 1}
    with pytest.raises(Changed):
        name(session, order, 2, turn=0, called="Benjamin")
    with (
        time_machine.travel("2027-03-12T12:00:00+00:00"),
        pytest.raises(ParticipantError, match="This course is over"),
    ):
        name(session, order, 2, turn=1, called="Benjamin")


def test_refunded_or_disputed_seat_cannot_be_named(session: Session) -> None:
    order = bought(session)
    returned(session, order, 3)
    with pytest.raises(Changed, match="This seat was canceled"):
        name(session, order, 3)
    with pytest.raises(Changed, match="canceled"):
        name(session, order, 9)
    disputes.record_status(session, order, dispute(order, status="needs_response"), "event")
    with pytest.raises(ParticipantError, match="A bank is reviewing the payment"):
        name(session, order, 2)
    with pytest.raises(ParticipantError, match="A bank is reviewing the payment"):
        participants.invite(session, order, 1, 0)
    assert told(session) == []


def test_seat_with_a_requested_refund_cannot_be_named(session: Session) -> None:
    order = bought(session)
    asked = refunds.request(session, order.id, "desk", seats=1, amount=None, wanted=(2,))
    with pytest.raises(ParticipantError, match="refund for this seat is on its way"):
        name(session, order, 2)
    name(session, order, 3)
    refunds.record_refusal(session, order, asked, "charge_disputed", "desk")
    name(session, order, 2, ZOE)
    assert told(session) == [("invitation", BEN), ("invitation", ZOE)]


def test_changes_of_a_participant_are_limited_per_day(session: Session) -> None:
    order = bought(session)
    for turn in range(participants.NAMINGS_A_DAY):
        name(session, order, 2, f"friend{turn}@example.com", turn=turn)
    with pytest.raises(ParticipantError, match="5 times in a day"):
        name(session, order, 2, turn=5)
    with time_machine.travel(now() + timedelta(days=1, minutes=1)):
        name(session, order, 2, turn=5)


def test_repeated_invitations_are_limited(session: Session) -> None:
    order = bought(session)
    name(session, order, 2)
    with pytest.raises(ParticipantError, match="on its way"):
        participants.invite(session, order, 2, 1)
    for _ in range(2):
        for message in session.scalars(select(Message)):
            message.state, message.sent_at = MessageState.SENT, now()
        participants.invite(session, order, 2, 1)
    for message in session.scalars(select(Message)):
        message.state = MessageState.SENT
    with pytest.raises(ParticipantError, match="reached the limit of mails in an hour"):
        participants.invite(session, order, 2, 1)
    assert told(session) == [("invitation", BEN)] * 3
    with pytest.raises(ParticipantError, match="nobody to invite"):
        participants.invite(session, order, 3, 0)
    with pytest.raises(Changed):
        participants.invite(session, order, 2, 0)


def test_refund_takes_unnamed_seats_first_then_the_last_named(session: Session) -> None:
    order = bought(session, number=4)
    name(session, order, 4)
    name(session, order, 2, ZOE)
    kept = []
    for _ in range(3):
        returned(session, order)
        kept.append(ledger.balance_of(session, order).kept)
    assert kept == [(1, 2, 4), (1, 4), (1,)]
    assert mails(session, "withdrawn") == [("withdrawn", ZOE), ("withdrawn", BEN)]


def test_refund_takes_only_the_chosen_seat(session: Session) -> None:
    order = bought(session)
    ben, zoe = name(session, order, 2), name(session, order, 3, ZOE)
    returned(session, order, 2)
    assert [enrollments.has_access(session, one) for one in (ben, zoe)] == ["none", "given"]
    assert [one.kept for one in orders.enrollments(session, order)] == [True, False, True]
    assert mails(session, "withdrawn") == [("withdrawn", BEN)]
    with pytest.raises(refunds.RefundError, match="these seats can be refunded: seats 1"):
        refunds.request(session, order.id, "desk", seats=1, amount=None, wanted=[2])
    with pytest.raises(refunds.RefundError, match="to refund, but seat"):
        refunds.request(session, order.id, "desk", seats=1, amount=None, wanted=[1, 3])


def test_participant_gets_the_seat_back_when_the_refund_fails(session: Session) -> None:
    order = bought(session)
    ben = name(session, order, 3)
    asked = returned(session, order, 3)
    failed = refund(order, reference=asked, amount=COURSE.price.amount, status="failed")
    refunds.record_status(session, order, failed, "event")
    assert enrollments.has_access(session, ben) == "given"
    assert told(session) == [("invitation", BEN), ("withdrawn", BEN), ("invitation", BEN)]


def test_full_refund_at_stripe_is_mailed_to_all_participants(session: Session) -> None:
    order = bought(session)
    name(session, order, 2)
    refunds.record_status(session, order, refund(order), "event")
    assert mails(session, "withdrawn", "refund") == [
        ("withdrawn", BEN), ("refund", "maria@example.com")
    ]  # fmt: skip


EMAILS = st.sampled_from([BEN, ZOE, "eve@example.com", "maria@example.com"])
STEPS = st.one_of(
    st.tuples(st.just("name"), st.integers(1, 3), st.integers(0, 2), EMAILS),
    st.tuples(st.just("refund"), st.integers(1, 3), st.sampled_from(["succeeded", "failed"])),
    st.tuples(st.just("dispute"), st.sampled_from(["needs_response", "won", "lost"])),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, max_size=8), data=st.data())
def test_seats_are_equal_to_a_replay_of_the_ledger(
    session: Session, steps: list[Any], data: st.DataObject
) -> None:
    """Random names, replacements, refunds and disputes: stored rows match the events."""
    session.rollback()  # discards the rest of an interrupted example
    order = bought(session)
    for step in steps:
        match step:
            case ("name", number, turn, email):
                try:
                    name(session, order, number, email, turn)
                except ParticipantError:
                    continue
            case ("refund", number, status):
                try:
                    asked = refunds.request(
                        session, order.id, "desk", seats=1, amount=None, wanted=[number]
                    )
                except refunds.RefundError:
                    continue
                made = refund(order, reference=asked, amount=COURSE.price.amount, status=status)
                refunds.record_status(session, order, made, "event")
            case ("dispute", status):
                disputes.record_status(session, order, dispute(order, status=status), "event")
    events = list(ledger.events(session, order))
    found = ledger.balance(order.seats, events)
    assert found == ledger.balance(order.seats, data.draw(st.permutations(events)))
    assert (order.state, order.seats_kept) == (found.state, found.seats)
    rows = orders.enrollments(session, order)
    assert [one.seat for one in rows] == [1, 2, 3]
    assert {one.seat for one in rows if one.kept} == set(found.kept)
    former = session.scalars(
        select(Enrollment.seat).where(
            Enrollment.order_id == order.id, Enrollment.ended_at.is_not(None)
        )
    ).all()
    for one in rows:
        # Before it was named, seat 1 was the buyer's and the others had no participant.
        held = found.named.get(one.seat, 0) + (one.seat == 1)
        assert held == former.count(one.seat) + bool(one.address_hash)
    active = [one.address_hash for one in rows if one.kept and one.address_hash]
    assert len(active) == len(set(active))


def test_one_of_several_windows_that_name_a_seat_wins(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        order_id = bought(session).id
        session.commit()

    def try_(email: str) -> str:
        with Session(engine) as session:
            writing(session)
            order = ledger.lock(session, order_id)
            try:
                name(session, order, 2, email)
            except Changed as error:
                return str(error)
            session.commit()
            return ""

    emails = [f"friend{number}@example.com" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(try_, emails))
    assert said.count("") == 1
    winner = emails[said.index("")]
    assert set(said) - {""} == {f"This seat was given to {winner} in another window"}
    with Session(engine) as session:
        assert told(session) == [("invitation", winner)]


def test_one_of_several_orders_that_name_a_person_wins(engine: Engine) -> None:
    with Session(engine) as session:
        writing(session)
        numbers = [bought(session, email=f"buyer{number}@example.com").id for number in range(3)]
        session.commit()

    def try_(order_id: int) -> bool:
        with Session(engine) as session:
            writing(session)
            try:
                name(session, ledger.lock(session, order_id), 2)
            except ParticipantError:
                return False
            session.commit()
            return True

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(try_, numbers)).count(True) == 1
