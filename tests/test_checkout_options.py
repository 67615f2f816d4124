"""What a course's checkout does beyond taking money, from the content to Stripe's own answer."""

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crossroads import orders, settlement
from crossroads.content import CheckoutOptions, Course
from crossroads.payments import Gateway, Options, PaymentsAway
from models import Order, writing
from tests.sandbox_server import KEY, SandboxServer, fetch
from tests.test_orders import COURSE, place

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
    """Return the order as it is stored."""
    with Session(engine) as session:
        return session.get_one(Order, order.id)


def test_every_option_is_off_until_the_content_says_otherwise(engine: Engine) -> None:
    assert COURSE.checkout == CheckoutOptions()
    order = again(engine, placed(engine, COURSE.checkout))
    assert order.checkout_options == {}
    assert orders.purchase(order, BASE).options == Options()


def test_stripe_is_asked_for_what_the_course_has_on(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    order = again(engine, placed(engine, EVERYTHING))
    made = settlement.open_checkout(engine, gateway, order, BASE)
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


def test_each_option_is_asked_for_alone(engine: Engine, gateway: Gateway) -> None:
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
        assert settlement.open_checkout(engine, gateway, order, BASE).url


def test_retry_asks_for_the_same_though_the_content_has_changed(
    engine: Engine, gateway: Gateway, sandbox: SandboxServer
) -> None:
    """Source: https://docs.stripe.com/api/idempotent_requests: other parameters are refused."""
    order = again(engine, placed(engine, EVERYTHING))
    sandbox.control("fault", kind="reset", method="POST", after=True)
    with pytest.raises(PaymentsAway):
        settlement.open_checkout(engine, gateway, order, BASE)
    with Session(engine, expire_on_commit=False) as session:
        writing(session)
        same = place(session, course=course(CheckoutOptions()), request_key=order.request_key)
        session.commit()
    settlement.open_checkout(engine, gateway, same, BASE)
    assert len(sandbox.state()["sessions"]) == 1
