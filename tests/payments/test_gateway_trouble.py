"""Every call to Stripe with every fault: the error has our own words, and work is done once."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from crossroads.payments import Gateway, PaymentsDenied, PaymentsRefused, PaymentsUnavailable
from models import now
from tests.support.gateway_purchases import LIVE, bought, purchase
from tests.support.sandbox_server import KEY, SandboxServer, eventually
from tests.support.stripe_trouble import BEFORE_THE_WORK, Trouble, struck
from tests.support.stripe_trouble import sandbox as sandbox
from tests.support.stripe_trouble import trouble as trouble

_numbers = count(1)

ONE: dict[str, Callable[[Gateway], object]] = {
    "session": lambda gateway: gateway.retrieve("cs_test_x"),
    "refund": lambda gateway: gateway.retrieve_refund("re_x"),
    "charge": lambda gateway: gateway.retrieve_charge("ch_x"),
    "dispute": lambda gateway: gateway.retrieve_dispute("du_x"),
    "invoice": lambda gateway: gateway.retrieve_invoice("in_x"),
}
MANY: dict[str, Callable[[Gateway], object]] = {
    "balance": lambda gateway: gateway.account(),
    "account_id": lambda gateway: gateway.account_id(),
    "newest_checkout": lambda gateway: [gateway.newest_checkout()],
    "newest_refund": lambda gateway: [gateway.newest_refund()],
    "newest_invoice": lambda gateway: [gateway.newest_invoice()],
    "sessions": lambda gateway: list(gateway.checkouts(now())),
    "events": lambda gateway: list(gateway.events(now())),
    "endpoints": lambda gateway: list(gateway.endpoints()),
}
OF_A_PAYMENT: dict[str, Callable[..., object]] = {
    "refunds": lambda gateway, payment="pi_x": list(gateway.refunds(payment)),
    "charges": lambda gateway, payment="pi_x": list(gateway.charges(payment)),
    "disputes": lambda gateway, payment="pi_x": list(gateway.disputes(payment)),
}


@pytest.fixture
def gateway(sandbox: SandboxServer) -> Gateway:
    return Gateway(KEY, base=sandbox.url)


@pytest.fixture(scope="module")
def payment(sandbox: SandboxServer) -> str:
    """A payment of 2,400.00 USD."""
    return str(bought(Gateway(KEY, base=sandbox.url), sandbox, key="paid").payment_intent)


def test_every_gateway_call_is_in_this_module() -> None:
    own = {name for name, found in vars(Gateway).items() if callable(found)} - {"verify"}
    one = {"retrieve", *(f"retrieve_{name}" for name in ONE if name != "session")}
    many = {"account", "checkouts", *(MANY.keys() - {"balance", "sessions"}), *OF_A_PAYMENT}
    assert own == {"create", "create_and_expire", "expire", "refund", "payment_page"} | one | many


@pytest.mark.parametrize("call", [*ONE, *MANY, *OF_A_PAYMENT])
def test_failed_read_raises_an_error_of_the_gateway(
    gateway: Gateway, sandbox: SandboxServer, payment: str, call: str
) -> None:
    ask = {**ONE, **MANY, **OF_A_PAYMENT}[call]
    for kind, after in BEFORE_THE_WORK:  # a read has no work, so "after the work" is no case
        with (
            Trouble(sandbox, kind, after).at("GET", "*"),
            pytest.raises(PaymentsUnavailable) as caught,
        ):
            ask(gateway)
        assert not isinstance(caught.value, PaymentsDenied), kind
        assert "://" not in str(caught.value) and KEY not in str(caught.value)
    with pytest.raises(PaymentsDenied) as denied:
        ask(Gateway(LIVE, base=sandbox.url))
    assert LIVE not in str(denied.value)
    if call in MANY:
        assert ask(gateway) is not None
        return
    with pytest.raises(PaymentsRefused):
        ask(gateway)
    if call in OF_A_PAYMENT:
        assert OF_A_PAYMENT[call](gateway, payment) is not None


def again(sandbox: SandboxServer, call: Callable[[], object]) -> None:
    """Repeat the call until Stripe has finished the first attempt under the same key."""
    sandbox.control("release")

    def answers() -> bool:
        try:
            call()
        except PaymentsUnavailable as error:
            assert not error.key_spent
            return False
        return True

    eventually(answers)


@struck
def test_repeated_creation_makes_one_checkout(
    gateway: Gateway, sandbox: SandboxServer, trouble: Trouble
) -> None:
    asked = replace(purchase(), key=f"key-{next(_numbers)}", reference=f"r-{next(_numbers)}")
    with trouble.at("POST", "/v1/checkout/sessions"), pytest.raises(PaymentsUnavailable) as caught:
        gateway.create(asked)
    # Stripe saves even a 500 under its key, so the next attempt needs a new key.
    spent = trouble.kind == "500"
    assert caught.value.key_spent == spent
    again(sandbox, lambda: gateway.create(replace(asked, key=f"{asked.key}-2") if spent else asked))
    made = [one["client_reference_id"] for one in sandbox.state()["sessions"]]
    assert made.count(asked.reference) == 1 + (spent and trouble.after)


def test_failed_trial_checkout_raises_an_error_of_the_gateway(
    gateway: Gateway, sandbox: SandboxServer
) -> None:
    for path in ("/v1/checkout/sessions", "*/expire"):
        for kind in ("html", "wrong", "reset"):
            asked = replace(purchase(), key=f"key-{next(_numbers)}")
            with Trouble(sandbox, kind, False).at("POST", path), pytest.raises(PaymentsUnavailable):
                gateway.create_and_expire(asked)
    assert (
        gateway.create_and_expire(replace(purchase(), key=f"key-{next(_numbers)}")).status
        == "expired"
    )


@struck
def test_repeated_expiry_expires_the_checkout(
    gateway: Gateway, sandbox: SandboxServer, trouble: Trouble
) -> None:
    made = gateway.create(replace(purchase(), key=f"key-{next(_numbers)}"))
    with trouble.at("POST", "*/expire"), pytest.raises(PaymentsUnavailable):
        gateway.expire(made.id)
    again(sandbox, lambda: gateway.expire(made.id))
    assert gateway.retrieve(made.id).status == "expired"


@struck
def test_repeated_refund_is_made_once(
    gateway: Gateway, sandbox: SandboxServer, payment: str, trouble: Trouble
) -> None:
    reference = f"refund-{next(_numbers)}"
    with trouble.at("POST", "/v1/refunds"), pytest.raises(PaymentsUnavailable) as caught:
        gateway.refund(payment, 100, key=reference, reference=reference)
    assert caught.value.key_spent == (trouble.kind == "500")
    if not caught.value.key_spent:  # with a spent key, callers first list the refunds that exist
        again(sandbox, lambda: gateway.refund(payment, 100, key=reference, reference=reference))
    made = [one.reference for one in gateway.refunds(payment)].count(reference)
    assert made == (trouble.kind != "500" or trouble.after)
