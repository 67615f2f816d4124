"""The checkout options of a course, from the content to the session at Stripe."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from crossroads.content import CheckoutOptions, Course
from crossroads.fulfillment import checkouts
from crossroads.orders.checkout import placement
from crossroads.payments import Gateway, Options, PaymentsUnavailable
from models import Order, OrderEvent, db, writing
from tests.support.desk_visits import desk, send
from tests.support.order_mails import mails, read
from tests.support.order_states import add_orders
from tests.support.orders import COURSE, place
from tests.support.purchases import ENROLL, bought, buttons, course_file, order_page, words
from tests.support.sandbox_server import KEY, SandboxServer, fetch

BASE = "http://localhost"
EVERYTHING = CheckoutOptions(
    promotion_codes=True, automatic_tax=True, tax_behavior="exclusive", tax_ids=True,
    invoices=True, terms=True, recovery=True,
)  # fmt: skip


@pytest.fixture
def gateway(sandbox: SandboxServer) -> Gateway:
    return Gateway(KEY, base=sandbox.url)


def course(options: CheckoutOptions) -> Course:
    return COURSE.model_copy(update={"checkout": options})


def placed(engine: Engine, options: CheckoutOptions) -> Order:
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        order = place(session, course=course(options))
        session.commit()
    return order


def again(engine: Engine, order: Order) -> Order:
    """Return the order as stored."""
    with Session(engine) as session:
        return session.get_one(Order, order.id)


def test_options_are_off_by_default(engine: Engine) -> None:
    assert COURSE.checkout == CheckoutOptions()
    order = again(engine, placed(engine, COURSE.checkout))
    assert order.checkout_options == {}
    assert placement.purchase(order, BASE, "a-site").options == Options()


def test_session_has_the_options_of_the_course(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = again(engine, placed(engine, EVERYTHING))
    made = checkouts.open_checkout(engine, gateway, order, BASE)
    found = sandbox.client().v1.checkout.sessions.retrieve(made.id, {"expand": ["line_items"]})
    assert found.allow_promotion_codes
    assert found.automatic_tax.enabled
    assert found.line_items is not None and found.line_items.data[0].price is not None
    assert found.line_items.data[0].price.tax_behavior == "exclusive"
    assert found.tax_id_collection is not None and found.tax_id_collection.enabled
    assert found.invoice_creation is not None and found.invoice_creation.enabled
    assert found.consent_collection is not None
    assert found.consent_collection.terms_of_service == "required"
    assert found.after_expiration is not None and found.after_expiration.recovery is not None
    assert found.after_expiration.recovery.enabled
    assert found.after_expiration.recovery.allow_promotion_codes
    assert f'<a href="{BASE}/terms"' in fetch(made.url or "").text


def test_each_option_works_alone(engine: Engine, gateway: Gateway) -> None:
    for name in CheckoutOptions.model_fields:
        on = {name: True} if name != "tax_behavior" else {"automatic_tax": True, name: "inclusive"}
        with Session(engine, expire_on_commit=False) as session:
            writing(session)
            order = place(
                session, course=course(CheckoutOptions(**on)), email=f"{name}@example.com"
            )
            session.commit()
        order = again(engine, order)
        assert order.checkout_options == on
        assert checkouts.open_checkout(engine, gateway, order, BASE).url


def test_retry_sends_the_same_options_after_a_content_change(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    """Source: https://docs.stripe.com/api/idempotent_requests: other parameters are refused."""
    order = again(engine, placed(engine, EVERYTHING))
    sandbox.control("fault", kind="reset", method="POST", after=True)
    with pytest.raises(PaymentsUnavailable):
        checkouts.open_checkout(engine, gateway, order, BASE)
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        same = place(session, course=course(CheckoutOptions()), request_key=order.request_key)
        session.commit()
    checkouts.open_checkout(engine, gateway, same, BASE)
    assert len(sandbox.state()["sessions"]) == 1


@pytest.fixture
def shop(make_app: Any, sandbox: SandboxServer, site_root: Path) -> Flask:
    """The site with promotion codes and invoices at its checkout."""
    course_file(site_root, "promotion_codes invoices")
    built: Flask = make_app(root=site_root, stripe_api_base=sandbox.url)
    return built


@pytest.mark.usefixtures("one_day")
def test_exclusive_tax_is_announced_before_payment(
    make_app: Any, sandbox: SandboxServer, site_root: Path
) -> None:
    course_file(site_root, "automatic_tax")  # with tax_behavior: exclusive
    app: Flask = make_app(root=site_root, stripe_api_base=sandbox.url)
    client = app.test_client()
    page = client.get(ENROLL).text
    assert "Pay $1,200 plus tax with Stripe" in buttons(page)
    assert "Total $1,200 plus tax" in words(page)
    with app.app_context(), Session(db.engine) as session:
        order, pay_page = bought(client, session)
    page = order_page(client, order)
    assert "Pay $1,200 plus tax with Stripe" in buttons(page)
    assert "Total $1,200 plus tax" in words(page)
    sandbox.pay(pay_page)
    assert "plus tax" not in words(order_page(client, order))  # now the exact tax is known


@pytest.mark.usefixtures("one_day")
def test_free_order_enrolls_and_page_mails_desk_and_export_agree(
    shop: Flask, sandbox: SandboxServer, instance: Path
) -> None:
    """Source: https://docs.stripe.com/payments/checkout/no-cost-orders."""
    client = shop.test_client()
    assert "If you have a code, type it on Stripe's page." in words(client.get(ENROLL).text)
    with shop.app_context(), Session(db.engine) as session:
        order, pay_page = bought(client, session)
    fetch(f"{pay_page}/code", form={"promotion_code": "FREE"})
    assert sandbox.pay(pay_page).status == 303
    page = words(order_page(client, order))
    assert "Your seat is yours: your code took the whole price off." in page
    assert "Price $1,200 Discount -$1,200 Paid $0" in page
    for mail, said in zip(
        mails(shop, instance), ("there was nothing to pay", "your seat is confirmed"), strict=True
    ):
        assert all(said in text and "received your payment" not in text for text in read(mail))
    staff = desk(shop)
    record = words(staff.get(f"/admin/orders/{order.id}").text)
    assert "Nothing had to be paid" in record and "nothing to refund" in record
    assert f"/admin/orders/{order.id}/refund" not in staff.get(f"/admin/orders/{order.id}").text
    with send(staff, "/admin/orders/export", {"format": "csv"}, page="/admin/orders") as answer:
        sold = answer.data.decode()
    assert ",1200.00,1200.00,0.00,0.00,0.00,0.00," in sold  # subtotal to net


@pytest.mark.usefixtures("one_day")
def test_missing_invoice_is_reported_as_not_ready(shop: Flask, sandbox: SandboxServer) -> None:
    client = shop.test_client()
    with shop.app_context(), Session(db.engine) as session:
        order, pay_page = bought(client, session)
    assert client.get(f"/orders/{order.token}/invoice").status_code == 404  # not paid yet
    sandbox.pay(pay_page)
    assert f'href="/orders/{order.token}/invoice"' in order_page(client, order)
    sandbox.control("fault", kind="500", method="GET", times=1)
    answer = client.get(f"/orders/{order.token}/invoice")
    assert answer.status_code == 503 and answer.headers["Cache-Control"] == "no-store"
    assert "The invoice is not ready yet." in words(answer.text)
    assert "You're in" in words(answer.text)
    sandbox.control("fault", kind="500", method="GET", times=1)
    staff = desk(shop)
    page = staff.get(f"/admin/orders/{order.id}/invoice", follow_redirects=True).text
    assert "The invoice is not there yet" in words(page)
    assert client.get(f"/orders/{order.token}/invoice").location.startswith(sandbox.url)


@pytest.mark.usefixtures("one_day")
def test_invoice_requests_are_rate_limited(
    make_app: Any, sandbox: SandboxServer, site_root: Path
) -> None:
    course_file(site_root, "invoices")
    shop = make_app(root=site_root, stripe_api_base=sandbox.url, order_look_limit="3/minute")
    client = shop.test_client()
    with shop.app_context(), Session(db.engine) as session:
        order, pay_page = bought(client, session)
        sandbox.pay(pay_page)
        other, other_page = bought(client, session, email="other@example.com")
        sandbox.pay(other_page)
    order_page(client, order)  # counts as a request, too
    order_page(client, other)
    sandbox.control("fault", kind="slow", seconds=0, times=100, method="GET", path="/v1/invoices/*")
    answers = [client.get(f"/orders/{order.token}/invoice") for _ in range(5)]
    assert [one.status_code for one in answers] == [303, 303, 429, 429, 429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    (fault,) = sandbox.state()["faults"]
    assert 100 - fault["times"] == 2  # no further call to Stripe
    assert client.get(f"/orders/{other.token}/invoice").status_code == 303


def test_price_changed_at_stripe_is_flagged_at_the_desk(app: Flask) -> None:
    (number,) = add_orders(app, "paid")
    path = f"/admin/orders/{number}"
    staff = desk(app)
    assert "Stripe sold this for" not in staff.get(path).text
    with app.app_context(), Session(db.engine) as session:
        session.execute(update(OrderEvent).values(amount_subtotal=90_000))
        session.commit()
    record = words(staff.get(path).text)
    assert "Stripe sold this for $900 USD, and the order's price is $1,200 USD" in record
