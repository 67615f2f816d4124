"""Kill -9 at every step of a purchase, one after the other: nothing stays half done."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from http.client import HTTPException
from itertools import count

import pytest
import time_machine
from sqlalchemy.orm import Session

from crossroads.fulfillment import webhook_events
from crossroads.orders import ledger
from models import Enrollment, Hold, Message, Order, StripeEvent, now
from tests.faults.shop import Shop, form, order_address
from tests.support.purchases import ENROLL, SEPTEMBER, heading

STEPS = {
    "commit": "a commit",
    "create": "POST /v1/checkout/sessions",
    "refunds": "GET /v1/refunds",
    "disputes": "GET /v1/disputes",
    "retrieve": "GET /v1/checkout/sessions/ID",
    "expire": "POST /v1/checkout/sessions/ID/expire",
}


Light = Callable[[], None]


def both(**times: int) -> Counter[str]:
    """Return both sides of each kind of step, with the count per purchase."""
    return Counter(
        {f"{side} {STEPS[kind]}": times[kind] for kind in times for side in ("before", "after")}
    )


@pytest.fixture
def site(open_shop: Callable[[int], Shop]) -> Shop:
    site = open_shop(1)
    site.start("serve")
    return site


def walk(site: Shop, command: str, purchase: Callable[[str, Light], None]) -> Counter[str]:
    """Make purchases, each killed one step later, until one completes without a kill.

    A purchase lights its fuse itself. Returns the steps at which the command was killed.
    """
    killed: Counter[str] = Counter()
    for steps in count(1):
        purchase(f"buyer{steps}@example.com", partial(site.light, command, steps))
        at = site.burnt(command)
        if at is None:
            break
        killed[at] += 1
    return killed


def settle_all(site: Shop) -> None:
    """Let an hour pass, and finish everything that was left."""
    if "worker" not in site.running:
        site.start("worker")
    site.run_out_leases()
    site.sandbox.control("advance", seconds=3600)
    site.wait(site.idle)
    with time_machine.travel(now() + timedelta(hours=1), tick=True):
        site.sweep()
    site.wait(site.idle)


def require_whole(site: Shop, paid: dict[str, int]) -> None:
    """Raise AssertionError unless only these people have paid, and all rows agree with it."""
    placed = {order.id: order for order in site.all(Order)}
    with Session(site.engine) as session:
        states = {order.id: ledger.balance_of(session, order).state for order in placed.values()}
    bought = {order.email: order.seats for order in placed.values() if states[order.id] == "paid"}
    assert bought == paid
    assert set(states.values()) <= {"paid", "expired", "canceled"}
    enrolled = Counter(one.order_id for one in site.all(Enrollment))
    assert {placed[number].email: seats for number, seats in enrolled.items()} == paid
    assert site.all(Hold) == []
    assert site.left() == SEPTEMBER.seats - sum(paid.values())
    owed = Counter((one.recipient, one.kind) for one in site.all(Message))
    assert owed == {(email, kind): 1 for email in paid for kind in ("receipt", "enrolled")}
    assert {one.state for one in site.all(Message)} <= {"sent"}
    # A mail that was sent but not recorded is sent again, with the same Message-ID.
    sent = {(mail.recipient, mail.message["Message-ID"]) for mail in site.mail.mails}
    assert Counter(email for email, _ in sent) == dict.fromkeys(paid, 2)
    books = site.sandbox.state()
    made = Counter(one["client_reference_id"] for one in books["sessions"])
    assert set(made.values()) <= {1}, "one order has two checkouts"
    told = {one["id"] for one in books["events"] if one["type"] in webhook_events.FOLLOWED}
    assert {one.id for one in site.all(StripeEvent)} == told
    assert all(one.done_at for one in site.all(StripeEvent))


def test_web_worker_killed_at_every_step_of_a_purchase(site: Shop) -> None:
    paid = {}

    def purchase(email: str, light: Light) -> None:
        filled = form(site, email)
        light()
        page = site.insist(ENROLL, filled)
        assert page.status == 303, page.text
        site.sandbox.control("pause")  # so that the order of event and buyer is fixed
        back = site.sandbox.pay(page.location)
        site.sandbox.control("resume")
        site.wait(site.delivered)
        assert heading(site.insist(order_address(back)).text) == "You're in"
        paid[email] = 1

    # The order, its checkout, the event, the payment.
    assert walk(site, "serve", purchase) == both(commit=4, create=1, retrieve=1)
    settle_all(site)
    require_whole(site, paid)


def test_web_worker_killed_at_every_step_of_a_changed_order(site: Shop) -> None:
    """The buyer of two seats changes to one seat: the first checkout is ended at Stripe."""

    def purchase(email: str, light: Light) -> None:
        first = form(site, email, 2)
        assert site.insist(ENROLL, first).status == 303
        filled = {**form(site, email, 1), "request_key": first["request_key"]}
        site.sandbox.control("pause")  # so that the event arrives after the buyer's request
        light()
        page = site.insist(ENROLL, filled)
        assert page.status == 303, page.text
        site.sandbox.control("resume")
        site.wait(site.delivered)

    # The end of the first order, the new order, its checkout, the event about the first one's end.
    assert walk(site, "serve", purchase) == both(commit=4, create=1, expire=1)
    assert site.left() == SEPTEMBER.seats - len(site.all(Hold))
    settle_all(site)
    require_whole(site, {})


def test_web_worker_killed_at_every_step_without_a_retry(site: Shop) -> None:
    def purchase(email: str, light: Light) -> None:
        filled = form(site, email)
        light()
        with suppress(OSError, HTTPException):
            site.ask(ENROLL, filled)

    assert walk(site, "serve", purchase) == both(commit=2, create=1)
    settle_all(site)
    require_whole(site, {})


def test_worker_killed_at_every_step_of_a_paid_order(site: Shop) -> None:
    site.start("worker")
    paid = {}

    def purchase(email: str, light: Light) -> None:
        page = site.insist(ENROLL, form(site, email))
        light()
        site.sandbox.pay(page.location)
        site.wait(lambda: site.is_burnt("worker") or site.idle())
        site.run_out_leases()
        site.wait(site.idle)
        paid[email] = 1
        assert len(site.all(Enrollment)) == len(paid), "no sweep was needed"

    # The event is taken and processed, with refunds and disputes, and each of two mails is taken
    # and recorded. The worker's own sweep of open orders may fall into a walk, and its calls to
    # Stripe may come before or after it takes a mail: a step may be skipped.
    expected = both(commit=6, retrieve=1, refunds=1, disputes=1)
    for number, step in enumerate((expected - walk(site, "worker", purchase)).elements()):
        purchase(f"late{number}@example.com", partial(site.light, "worker", 1, step))
        assert site.burnt("worker") == step
    settle_all(site)
    require_whole(site, paid)
