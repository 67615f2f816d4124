"""Concurrent requests over HTTP: for the last seats, and about the same payment."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from sqlalchemy.orm import Session

from crossroads.orders import ledger
from crossroads.settings import Settings
from models import Enrollment, Hold, Message, Order, StripeEvent
from tests.faults import crowd
from tests.faults.crowd import Call, Reply, all_at_once, post
from tests.faults.shop import Shop, form, order_address
from tests.support.purchases import COURSE, ENROLL, SEPTEMBER, heading, leave, refresh, words
from tests.support.sandbox_server import Endpoint

SEATS = 10
BUYERS = 60
LONGEST_WAIT = 15  # seconds, as stated on the page
LATER_PAYS = "AT321904300235473204"


@pytest.fixture
def site(open_shop: Callable[[int], Shop]) -> Shop:
    site = open_shop(2)
    site.start("serve", "worker")
    return site


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    receiver = Endpoint().start()
    yield receiver
    receiver.stop()


def press(site: Shop, forms: dict[str, dict[str, str]]) -> dict[str, Reply]:
    """Send each person's form, by address, each from its own network."""
    calls = [
        post(f"{site.url}{ENROLL}", filled, f"10.1.{number}.1")
        for number, filled in enumerate(forms.values())
    ]
    return dict(zip(forms, all_at_once(calls), strict=True))


def take(site: Shop, forms: dict[str, dict[str, str]], places: int) -> dict[str, str]:
    """Send the forms at once; return the pay pages of the buyers who got seats.

    All others must have been told that no seat is left. A buyer whose pay page could not be made at
    once, because of too many others, waits on the order's page until it redirects.
    """
    replies = press(site, forms)
    assert Counter(reply.status for reply in replies.values()) == {
        303: places, 409: len(forms) - places,
    }  # fmt: skip
    pages = {}
    for email, reply in replies.items():
        if reply.status == 409:
            assert "has just been taken. Nothing was charged." in words(reply.text)
        elif reply.location.startswith("/orders/"):
            pages[email] = wait_on(site, reply.location)
        else:
            pages[email] = reply.location
    assert len(set(pages.values())) == places
    assert all(page.startswith(site.sandbox.url) for page in pages.values())
    return pages


def wait_on(site: Shop, waiting: str) -> str:
    """Return the payment page that a waiting page redirects to, within 15 seconds."""
    until = time.monotonic() + LONGEST_WAIT
    while (page := site.ask(waiting)).status == 200:
        assert heading(page.text) == "Opening the payment page"
        assert refresh(page.text) == f"2;url={waiting}"
        assert time.monotonic() < until, "the payment page does not open"
        time.sleep(2)
    assert page.status == 303
    return page.location


def test_sixty_buyers_in_six_seconds_all_reach_stripe(site: Shop) -> None:
    """Stripe works normally, and takes 0.7 seconds to answer."""
    forms = [form(site, f"b{number}@example.com", cohort=COURSE.cohorts[number % 3])
             for number in range(BUYERS)]  # fmt: skip
    create = "/v1/checkout/sessions"
    site.sandbox.control("fault", kind="slow", milliseconds=700, times=1000, path=create)

    def buy(number: int) -> str:
        time.sleep(number * 6 / BUYERS)
        call = post(f"{site.url}{ENROLL}", forms[number], f"10.3.{number}.1")
        (reply,) = [crowd.ask(call)]
        assert reply.status == 303, words(reply.text)
        own = reply.location.startswith("/orders/")
        return wait_on(site, reply.location) if own else reply.location

    with ThreadPoolExecutor(BUYERS) as pool:
        pages = list(pool.map(buy, range(BUYERS)))
    assert {page.startswith(site.sandbox.url) for page in pages} == {True}
    assert len(set(pages)) == BUYERS == len(site.sandbox.state()["sessions"])


def test_sixty_concurrent_buyers_get_exactly_ten_seats(site: Shop) -> None:
    with Session(site.engine) as session:
        leave(session, SEPTEMBER, SEATS)
    forms = {email: form(site, email) for email in (f"b{n}@example.com" for n in range(BUYERS))}
    pages = take(site, forms, SEATS)
    assert (site.left(), len(site.all(Hold))) == (0, SEATS)
    first = {order.email: order for order in site.all(Order)}
    assert first.keys() == pages.keys()
    paying, expiring, canceling = (list(pages)[n::3] for n in range(3))  # 4, 3 and 3
    for email in paying:
        site.sandbox.pay(pages[email])
    for email in expiring:
        site.sandbox.control("expire", id=str(first[email].session_id))
    for email in canceling:
        site.insist(f"/orders/{first[email].token}", {"action": "cancel"})
    site.wait(site.idle)
    assert (site.left(), len(site.all(Hold)), len(site.all(Enrollment))) == (6, 0, 4)
    later = {email: filled for email, filled in forms.items() if email not in pages}
    for page in take(site, later, 6).values():
        site.sandbox.pay(page)
    site.wait(site.idle)
    assert (site.left(), len(site.all(Hold)), len(site.all(Enrollment))) == (0, 0, SEATS)
    assert len(site.sandbox.state()["sessions"]) == len(site.all(Order)) == SEATS + 6
    assert Counter(mail.recipient for mail in site.mail.mails) == {
        enrollment.email: 2 for enrollment in site.all(Enrollment)
    }


def test_concurrent_orders_stay_within_the_seats_per_network(site: Shop) -> None:
    forms = [
        form(site, f"b{number}@example.com", cohort=COURSE.cohorts[number % 3])
        for number in range(24)
    ]
    replies = all_at_once([post(f"{site.url}{ENROLL}", filled, "10.2.2.2") for filled in forms])
    refused = [reply for reply in replies if reply.status == 429]
    most = Settings.model_fields["held_seats_per_network"].default
    assert len(site.all(Hold)) == most
    assert len(refused) == len(forms) - most
    for reply in refused:
        assert "Too many seats wait for payment already" in words(reply.text)


def test_hundred_concurrent_duplicate_webhooks_enroll_once(site: Shop, endpoint: Endpoint) -> None:
    site.sandbox.control("deliver_to", endpoints=[endpoint.url])
    page = site.insist(ENROLL, form(site, "maria@example.com", 3))
    back = order_address(site.sandbox.pay(page.location, iban=LATER_PAYS))
    endpoint.wait_for("checkout.session.completed")
    (order,) = site.all(Order)
    intent = site.sandbox.state()["sessions"][0]["payment_intent"]
    site.sandbox.control("settle", id=intent)
    endpoint.wait_for("checkout.session.async_payment_succeeded")
    told = [one for one in endpoint.received if one.type.startswith("checkout.session.")]
    assert len(told) == 2
    site.age()
    calls = [
        Call(f"{site.url}/webhooks/stripe", one.body, {"Stripe-Signature": one.signature})
        for one in told * 50
    ]
    calls += [Call(f"{site.url}{back}", None, {})] * 20
    random.shuffle(calls)
    ended = Event()

    def sweep() -> None:
        while not ended.wait(0.05):
            site.sweep()

    with ThreadPoolExecutor(1) as pool:
        sweeping = pool.submit(sweep)
        replies = all_at_once(calls)
        ended.set()
        sweeping.result()
    assert {reply.status for reply in replies} == {200}
    site.wait(site.idle)
    site.start("reconcile")
    site.finish("reconcile")
    assert "nothing to do: " in site.said("reconcile")
    assert heading(site.insist(back).text) == "You're in"
    assert [one.seat for one in site.all(Enrollment)] == [1, 2, 3]
    assert sorted(one.kind for one in site.all(Message)) == ["enrolled", "receipt"]
    assert len(site.mail.mails) == 2
    assert len(site.all(StripeEvent)) == 2
    with Session(site.engine) as session:
        kinds = [event.kind for event in ledger.events(session, order)]
    assert sorted(set(kinds) - {"pending"}) == ["paid", "placed"]
    assert len(kinds) == len(set(kinds))
