"""The sandbox's objects and parameters, compared with what the SDK declares.

Which fields are null and which left out is compared in test_stripe_fields.
"""

import typing
from typing import Any, Union, get_args, get_origin

import pytest
import stripe
from stripe import (
    Balance,
    Charge,
    Coupon,
    Dispute,
    Event,
    Invoice,
    LineItem,
    PaymentIntent,
    Price,
    PromotionCode,
    Refund,
    StripeClient,
    WebhookEndpoint,
)
from stripe._api_version import _ApiVersion
from stripe.checkout import Session
from stripe.params import (
    ChargeListParams,
    DisputeListParams,
    EventListParams,
    InvoiceListParams,
    PaymentIntentListParams,
    PromotionCodeListParams,
    RefundCreateParams,
    RefundListParams,
    WebhookEndpointListParams,
)
from stripe.params.checkout import (
    SessionCreateParams,
    SessionListLineItemsParams,
    SessionListParams,
)

from sandbox.stripe.api import routes
from sandbox.stripe.objects import events
from sandbox.stripe.objects.checkout import invoices, promotions, session_parameters
from sandbox.stripe.objects.payments import disputes, refunds
from sandbox.stripe.parameters import Parameters
from tests.support.sandbox_server import SandboxServer, session_params


def paid(sandbox: SandboxServer) -> Session:
    sdk = sandbox.client()
    made = sdk.v1.checkout.sessions.create(session_params(customer_creation="always"))
    sandbox.pay(made.url or "")
    expand = ["line_items", "payment_intent.latest_charge.refunds"]
    return sdk.v1.checkout.sessions.retrieve(made.id, {"expand": expand})


def declared(kind: type) -> dict[str, bool]:
    """Return the fields that a class of the SDK declares, and whether each may be missing."""
    fields = {}
    for name, annotation in vars(kind).get("__annotations__", {}).items():
        if get_origin(annotation) is not typing.ClassVar and not name.startswith("_"):
            optional = get_origin(annotation) is Union and type(None) in get_args(annotation)
            fields[name] = optional
    return fields


def faults(kind: type, obj: dict[str, Any], where: str) -> list[str]:
    """Return the missing and the unknown fields of an object, at any depth."""
    fields = declared(kind)
    found = [
        f"{where}.{name} is missing"
        for name, optional in fields.items()
        if not optional and obj.get(name) is None
    ]
    found += [f"{where}.{name} is not declared" for name in obj if name not in fields]
    for name, inner in getattr(kind, "_inner_class_types", {}).items():
        values = obj.get(name)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, dict):
                found += faults(inner, value, f"{where}.{name}")
    return found


def test_objects_carry_every_field_the_sdk_declares(sandbox: SandboxServer) -> None:
    """Source: the classes of stripe/checkout/_session.py, _line_item.py, _price.py,
    _payment_intent.py, _charge.py, _refund.py, _event.py."""
    session, sdk = paid(sandbox), sandbox.client()
    intent = session.payment_intent
    assert isinstance(intent, PaymentIntent) and isinstance(intent.latest_charge, Charge)
    refund = sdk.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    items = session.line_items
    assert items is not None and items.data[0].price is not None
    sandbox.control("dispute", id=intent.latest_charge.id)
    sandbox.control("deliver_to", endpoints=["http://127.0.0.1:9/hook"])
    event = sdk.v1.events.list({"limit": 1}).data[0]
    for kind, obj in (
        (Session, session),
        (LineItem, items.data[0]),
        (Price, items.data[0].price),
        (PaymentIntent, intent),
        (Charge, intent.latest_charge),
        (Refund, refund),
        (Dispute, sdk.v1.disputes.list().data[0]),
        (PromotionCode, sdk.v1.promotion_codes.list().data[0]),
        (
            Coupon,
            sdk.v1.coupons.retrieve(str(sdk.v1.promotion_codes.list().data[0].promotion.coupon)),
        ),
        (Balance, sdk.v1.balance.retrieve()),
        (WebhookEndpoint, sdk.v1.webhook_endpoints.list().data[0]),
        (Event, event),
    ):
        shown = obj.to_dict()
        assert faults(kind, shown, kind.__name__) == []


def test_objects_with_all_options_carry_every_field(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    made = sdk.v1.checkout.sessions.create(
        session_params(
            allow_promotion_codes=True,
            automatic_tax={"enabled": True},
            tax_id_collection={"enabled": True},
            invoice_creation={"enabled": True},
            after_expiration={"recovery": {"enabled": True}},
        )
    )
    sandbox.pay(made.url or "", tax_id="DE123456789")
    session = sdk.v1.checkout.sessions.retrieve(made.id, {"expand": ["invoice"]})
    assert isinstance(session.invoice, Invoice)
    assert faults(Session, session.to_dict(), "session") == []
    assert faults(Invoice, session.invoice.to_dict(), "invoice") == []


@pytest.mark.parametrize("number", ["4000000000009995", "4000002500003155"])
def test_unpaid_objects_carry_every_field(sandbox: SandboxServer, number: str) -> None:
    sdk = sandbox.client()
    made = sdk.v1.checkout.sessions.create(session_params())
    sandbox.pay(made.url or "", number)
    session = sdk.v1.checkout.sessions.retrieve(made.id, {"expand": ["payment_intent"]})
    assert isinstance(session.payment_intent, PaymentIntent)
    assert faults(Session, session.to_dict(), "session") == []
    assert faults(PaymentIntent, session.payment_intent.to_dict(), "intent") == []
    for charge in sdk.v1.charges.list().data:
        assert faults(Charge, charge.to_dict(), "charge") == []


def test_delayed_objects_carry_every_field(sandbox: SandboxServer) -> None:
    sdk = sandbox.client()
    made = sdk.v1.checkout.sessions.create(session_params())
    sandbox.pay(made.url or "", iban="AT321904300235473204")
    charge = sdk.v1.charges.list().data[0]
    assert faults(Charge, charge.to_dict(), "charge") == []
    sandbox.control("settle", id=charge.payment_intent)
    refund = sdk.v1.refunds.create({"charge": charge.id})
    assert faults(Refund, refund.to_dict(), "refund") == []


@pytest.mark.parametrize(
    ("parameters", "params"),
    [
        (session_parameters.CREATE, SessionCreateParams),
        (session_parameters.LIST, SessionListParams),
        (routes.ITEMS, SessionListLineItemsParams),
        (routes.INTENTS, PaymentIntentListParams),
        (routes.CHARGES, ChargeListParams),
        (refunds.CREATE, RefundCreateParams),
        (refunds.LIST, RefundListParams),
        (disputes.LIST, DisputeListParams),
        (promotions.LIST, PromotionCodeListParams),
        (routes.ITEMS, WebhookEndpointListParams),
        (events.LIST, EventListParams),
        (invoices.LIST, InvoiceListParams),
    ],
)
def test_parameters_are_those_the_sdk_sends(parameters: Parameters, params: Any) -> None:
    """Source: stripe/params. A parameter neither supported nor refused by name is unknown."""
    sent = set(params.__annotations__) - set(stripe.RequestOptions.__annotations__)
    assert set(parameters.known) | set(parameters.unsupported) == sent


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (session_parameters.LINE_ITEM, "LineItem"),
        (session_parameters.PRICE_DATA, "LineItemPriceData"),
        (session_parameters.PRODUCT_DATA, "LineItemPriceDataProductData"),
        (session_parameters.PAYMENT_INTENT_DATA, "PaymentIntentData"),
        (session_parameters.CREATE.known["consent_collection"], "ConsentCollection"),
        (session_parameters.CREATE.known["custom_text"], "CustomText"),
        (session_parameters.CREATE.known["automatic_tax"], "AutomaticTax"),
        (session_parameters.CREATE.known["invoice_creation"], "InvoiceCreation"),
        (session_parameters.CREATE.known["tax_id_collection"], "TaxIdCollection"),
    ],
)
def test_nested_parameters_are_those_the_sdk_sends(parameters: Parameters, name: str) -> None:
    from stripe.params.checkout import _session_create_params

    params = getattr(_session_create_params, f"SessionCreateParams{name}")
    assert set(parameters.known) | set(parameters.unsupported) == set(params.__annotations__)


def test_api_version_is_the_one_the_sdk_sends(sdk: StripeClient) -> None:
    """Source: stripe/_api_version.py."""
    made = sdk.v1.checkout.sessions.create(session_params())
    assert made.last_response is not None
    assert made.last_response.headers["Stripe-Version"] == _ApiVersion.CURRENT
    assert stripe.api_version == events.API_VERSION


def test_ids_have_the_prefixes_of_test_mode(sandbox: SandboxServer) -> None:
    """Source: the examples of https://docs.stripe.com/api."""
    session, sdk = paid(sandbox), sandbox.client()
    intent = session.payment_intent
    assert isinstance(intent, PaymentIntent) and isinstance(intent.latest_charge, Charge)
    refund = sdk.v1.refunds.create({"charge": intent.latest_charge.id})
    event = sdk.v1.events.list().data[0]
    assert session.id.startswith("cs_test_") and len(session.id) > 60
    for id, prefix in (  # noqa: A001
        (intent.id, "pi_"),
        (intent.latest_charge.id, "ch_"),
        (refund.id, "re_"),
        (event.id, "evt_"),
        (str(session.customer), "cus_"),
        (str(event.request and event.request.id), "req_"),
    ):
        assert id.startswith(prefix)
    for obj in (session, intent, intent.latest_charge, event):
        assert obj.livemode is False
