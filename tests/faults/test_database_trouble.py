"""A locked or stopped database: pages stay readable, and nothing acknowledged is lost."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from models import Enrollment, Lead, Order, StripeEvent
from tests.faults.shop import Shop, form, order_address, shop
from tests.support.databases import running_server
from tests.support.purchases import ENROLL, heading, words

# A site, a context in which its database is locked or stopped, and whether writers wait for it.
Trouble = tuple[Shop, Callable[[], AbstractContextManager[None]], bool]
EMAIL = "reader@example.com"
SIGNUP = {"email": EMAIL, "name": "Ada", "consent": "yes"}


@contextmanager
def sqlite_locked(tmp_path: Path, url: str) -> Iterator[Trouble]:
    @contextmanager
    def locked() -> Iterator[None]:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()

    with shop(tmp_path, url, 2) as opened:
        yield opened, locked, True


@contextmanager
def postgresql_locked(tmp_path: Path, url: str) -> Iterator[Trouble]:
    @contextmanager
    def locked() -> Iterator[None]:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '15s'"))  # no page reads for so long
            connection.execute(text('LOCK TABLE lead, "order", stripe_event'))
            yield
        engine.dispose()

    with shop(tmp_path, url, 2) as opened:
        yield opened, locked, True


@contextmanager
def postgresql_gone(tmp_path: Path, migrate: Callable[[str], None]) -> Iterator[Trouble]:
    with running_server() as (server, url):
        migrate(url)

        @contextmanager
        def gone() -> Iterator[None]:
            server.stop()
            yield
            server.start()

        with shop(tmp_path, url, 2) as opened:
            yield opened, gone, False


@pytest.fixture(params=["sqlite locked", "postgresql locked", "postgresql gone"])
def trouble(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trouble]:
    given: Any = request.getfixturevalue
    if request.param == "postgresql gone":
        made = postgresql_gone(tmp_path, given("migrate"))
    elif request.param == "postgresql locked":
        made = postgresql_locked(tmp_path, given("postgresql_url"))
    else:
        made = sqlite_locked(tmp_path, given("sqlite_url"))
    with made as found:
        yield found


def test_site_recovers_without_a_restart_and_loses_nothing(trouble: Trouble) -> None:
    site, in_trouble, waits = trouble
    site.start("serve", "worker")
    before = site.insist(ENROLL, form(site, "before@example.com"))
    filled = form(site, "during@example.com")
    with in_trouble(), ThreadPoolExecutor(4) as pool:
        asked = {
            "signup": pool.submit(site.ask, "/signup", SIGNUP),
            "buying": pool.submit(site.ask, ENROLL, filled),
        }
        back = site.sandbox.pay(before.location)  # its webhooks arrive meanwhile, too
        assert {site.ask("/compare").status for _ in range(10)} == {200}
        if waits:
            assert not any(one.done() for one in asked.values()), "a reader waited, too"
        answers = {name: one.result() for name, one in asked.items()}  # before the trouble ends
    assert {page.status for page in answers.values()} == {503}
    assert "cannot save anything just now" in words(answers["signup"].text)
    assert EMAIL in answers["signup"].text
    assert "othing was charged" in words(answers["buying"].text)
    # Refused requests were answered as such and left no partial rows; Stripe repeats its webhooks.
    site.wait(lambda: "checkout.session.completed" in {one.kind for one in site.all(StripeEvent)})
    assert site.insist("/signup", SIGNUP).status == 200
    assert site.insist(ENROLL, filled).status == 303
    site.wait(site.idle)
    assert [lead.email for lead in site.all(Lead)] == [EMAIL]
    assert {order.email: order.state for order in site.all(Order)} == {
        "before@example.com": "paid",
        "during@example.com": "open",
    }
    assert len(site.all(Enrollment)) == 1
    assert heading(site.insist(order_address(back)).text) == "You're in"
    assert sorted(mail.recipient for mail in site.mail.mails) == [
        "before@example.com", "before@example.com", EMAIL,
    ]  # fmt: skip
