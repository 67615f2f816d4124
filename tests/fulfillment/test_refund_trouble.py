"""Every failure of Stripe at every call of a refund: the desk shows it, and one refund is made.

All refunds belong to one order, each with its own amount.
"""

from collections.abc import Callable
from functools import cache
from itertools import count

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crossroads.fulfillment import repayments
from crossroads.orders import ledger
from crossroads.payments import Gateway, PaymentsUnavailable
from models import Order, db
from tests.support.desk_visits import desk
from tests.support.purchases import bought, heading, hidden, words
from tests.support.sandbox_server import KEY, SandboxServer, eventually
from tests.support.stripe_trouble import Trouble, acting, looking
from tests.support.stripe_trouble import app as app
from tests.support.stripe_trouble import sandbox as sandbox
from tests.support.stripe_trouble import sites as sites
from tests.support.stripe_trouble import trouble as trouble
from tests.support.walks import walk

REFUND = ("POST", "/v1/refunds")
REFUNDS = ("GET", "/v1/refunds*")
DISPUTES = ("GET", "/v1/disputes*")

_amounts = count(1)

Shop = Callable[[Flask], tuple[FlaskClient, Order]]


@pytest.fixture(scope="module")
def shop(sandbox: SandboxServer) -> Shop:
    """Returns a client signed in at a site's desk, and the site's one paid order, of two seats."""

    @cache
    def opened(app: Flask) -> tuple[FlaskClient, Order]:
        client = app.test_client()
        with app.app_context():
            engine = db.engine
        with Session(engine, expire_on_commit=False) as session:
            placed, url = bought(client, session, seats="2")
            sandbox.pay(url)
            assert heading(client.get(f"/orders/{placed.token}").text) == "You're in"
            order = session.get_one(Order, placed.id, populate_existing=True)
        return desk(app, "finance"), order

    return opened


def made(sandbox: SandboxServer, order: Order, amount: int) -> int:
    """Count the refunds of this amount that Stripe made."""
    found = Gateway(KEY, base=sandbox.url).refunds(str(order.payment_intent))
    return sum(one.amount == amount for one in found)


def settle(app: Flask, sandbox: SandboxServer, order: Order) -> None:
    """Settle as the worker does, again and again while Stripe is busy with the first try."""
    with app.app_context():
        engine = db.engine

    def answers() -> bool:
        try:
            repayments.settle_payment(engine, Gateway(KEY, base=sandbox.url), order.id, "sweep")
        except PaymentsUnavailable:
            return False
        return True

    eventually(answers)


@walk
@acting
def test_refund_without_an_answer_is_made_once(
    app: Flask, shop: Shop, sandbox: SandboxServer, trouble: Trouble
) -> None:
    noted_and_made_once(app, shop, sandbox, trouble, REFUND)


@walk
@looking
@pytest.mark.parametrize("call", [REFUNDS, DISPUTES], ids=["refunds", "disputes"])
def test_refund_is_made_once_when_its_checks_fail_at_first(
    app: Flask, shop: Shop, sandbox: SandboxServer, trouble: Trouble, call: tuple[str, str]
) -> None:
    noted_and_made_once(app, shop, sandbox, trouble, call)


def noted_and_made_once(
    app: Flask, shop: Shop, sandbox: SandboxServer, trouble: Trouble, call: tuple[str, str]
) -> None:
    staff, order = shop(app)
    amount = next(_amounts)
    path = f"/admin/orders/{order.id}/refund"
    chosen = {"what": "amount", "amount": f"0.{amount:02}"}
    page = staff.get(path, query_string=chosen)
    form = {**hidden(page.text), **chosen}
    with trouble.at(*call):
        answer = staff.post(path, data=form)
    assert (answer.status_code, answer.location) == (303, f"/admin/orders/{order.id}")
    said = words(staff.get(answer.location).text)
    assert "Stripe does not answer. The refund is noted, and the worker asks again." in said
    assert f"A refund of $0.{amount:02} USD waits for Stripe's answer" in said
    for again in (staff.post(path, data=form), staff.get(path, query_string=chosen)):
        assert (again.status_code, again.location) == (303, f"/admin/orders/{order.id}")
    settle(app, sandbox, order)
    staff.post(path, data=form)  # once more, after the refund was made
    assert made(sandbox, order, amount) == 1
    with app.app_context(), Session(db.engine) as session:
        found = ledger.balance_of(session, order)
    assert [one.status for one in found.refunds if one.amount == amount] == ["succeeded"]
    assert found.asked == 0
