"""Sweeps of a hundred orders and more, two at once, and killed midway."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from crossroads.fulfillment import checkouts
from crossroads.orders.checkout import placement
from crossroads.payments import Gateway, connection
from models import Base, Enrollment, Message, Order, Reconciliation, StripeEvent, writing
from tests.faults.shop import SECONDS, Shop
from tests.support.order_states import COHORT
from tests.support.orders import place
from tests.support.paths import ROOT
from tests.support.sandbox_server import KEY

AGAIN = 75  # the exit code of a sweep when another one is running


@pytest.fixture
def site(open_shop: Callable[[int], Shop]) -> Shop:
    """A site without running processes, which receives no webhooks."""
    site = open_shop(1)
    site.sandbox.control("deliver_to", endpoints=[])
    return site


def placed(site: Shop) -> Order:
    with Session(site.engine, expire_on_commit=False) as session:
        writing(session)
        order = place(session, COHORT, email=f"{token_hex(4)}@example.com")
        session.commit()
        return order


def sell(site: Shop, number: int) -> None:
    """Place and pay `number` orders without their webhooks."""
    gateway = Gateway(KEY, base=site.sandbox.url)

    def buy(_number: int) -> None:
        order = placed(site)
        made = checkouts.open_checkout(site.engine, gateway, order, site.url)
        site.sandbox.pay(str(made.url))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(buy, range(number)))


def rows(site: Shop) -> dict[str, list[tuple[object, ...]]]:
    """Return all stored rows, without the position that the sweep has read to."""
    with site.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table))]
            for table in Base.metadata.sorted_tables
            if table.name != Reconciliation.__tablename__
        }


def require_healed(site: Shop, number: int) -> None:
    """Raise AssertionError unless `number` orders are paid and enrolled, each once."""
    assert Counter(order.state for order in site.all(Order)) == {"paid": number}
    assert len({one.order_id for one in site.all(Enrollment)}) == number
    assert len(site.all(Enrollment)) == number
    kinds = Counter(one.kind for one in site.all(Message))
    assert kinds == {"receipt": number, "enrolled": number}
    assert all(event.done_at for event in site.all(StripeEvent))


def test_one_run_recovers_a_hundred_lost_webhooks(site: Shop) -> None:
    number = connection.PAGE + 1  # on two pages of Stripe's list
    sell(site, number)
    site.start("reconcile")
    assert site.finish("reconcile") == 0
    said = site.said("reconcile")
    assert said.count(": paid at Stripe (checkout.session.completed evt_") == number
    assert f"{number} drifts healed: {number} orders and " in said
    require_healed(site, number)
    before = rows(site)
    site.start("reconcile")
    site.finish("reconcile")
    assert site.said("reconcile").removeprefix(said).startswith("nothing to do: 0 orders and ")
    assert rows(site) == before


def test_killed_sweep_completes_when_it_is_run_again(site: Shop) -> None:
    """For payments without webhooks, and for checkouts whose URL was not stored."""
    gateway = Gateway(KEY, base=site.sandbox.url)
    for rounds, steps in enumerate((3, 9, 20), 1):
        sell(site, 2)
        gateway.create(placement.purchase(placed(site), site.url, "a-site"))
        site.age()
        site.light("reconcile", steps)
        site.start("reconcile")
        site.wait(lambda: site.is_burnt("reconcile"))
        site.run_out_leases()
        assert site.finish("reconcile") == 0
        assert site.burnt("reconcile")
        assert all(order.session_id for order in site.all(Order))
        site.change(update(Order).where(Order.state == "open").values(state="canceled"))
        found = Counter(order.state for order in site.all(Order))
        assert found == {"paid": 2 * rounds, "canceled": rounds}
        assert len(site.all(Enrollment)) == 2 * rounds
    assert Counter(one.kind for one in site.all(Message)) == {"receipt": 6, "enrolled": 6}
    assert all(event.done_at for event in site.all(StripeEvent))


def test_only_one_of_two_concurrent_sweeps_runs(site: Shop) -> None:
    sell(site, 5)
    # Slow down the first sweep until the other one starts.
    site.sandbox.control("fault", kind="slow", seconds=8, path="/v1/events")
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "flask", "reconcile"],
            cwd=ROOT, env=site.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    ended = {one.returncode: said for one in both if (said := one.communicate(timeout=SECONDS))}
    assert ended.keys() == {0, AGAIN}
    assert ended[AGAIN][0] == "" and "another sweep is at work" in ended[AGAIN][1]
    assert "5 drifts healed: 5 orders and " in ended[0][0]
    require_healed(site, 5)
