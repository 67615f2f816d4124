"""Checkout Sessions: the parameters to create one, and its state at Stripe."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from crossroads.payments.fields import Fields, fields

if TYPE_CHECKING:
    from stripe.checkout import Session
    from stripe.params.checkout import SessionCreateParams

SITE = "site"  # metadata key: id of the site that created the object
NUMBER_LENGTH = 10  # digits of the highest number that the column can hold
NUMBER, COURSE, COHORT = "number", "course", "cohort"
MADE_FOR = "order"  # metadata key: reference of the order that the object belongs to

Status = Literal["open", "complete", "expired"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Optional features of a checkout, all off by default.

    Most of them need settings at Stripe first: promotion codes, tax registrations, the URL of the
    terms. Without these Stripe refuses the checkout.
    https://docs.stripe.com/api/checkout/sessions/create
    """

    promotion_codes: bool = False
    automatic_tax: bool = False
    tax_behavior: Literal["inclusive", "exclusive"] | None = None  # None: as set up at Stripe
    tax_ids: bool = False
    invoices: bool = False
    terms: bool = False
    recovery: bool = False
    always_customer: bool = False
    submit: Literal["auto", "book", "donate", "pay"] = "book"
    excluded_methods: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """The data of a checkout to create. Amounts are in the currency's smallest unit.

    `email` is prefilled on Stripe's page; if it is empty, the buyer types it there. `site` is the
    id of the site, `number` the number of its order. They, `course` and `cohort` go into the
    metadata, so that the order can be recreated if it is lost here.
    """

    reference: str
    site: str
    number: int
    course: str
    cohort: str
    key: str
    email: str
    item: str
    unit_amount: int
    currency: str
    quantity: int
    return_url: str
    terms_url: str
    expires_at: datetime
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, kw_only=True)
class Presentment:
    """The amount that a buyer pays in their own currency; the order's currency is unchanged.

    https://docs.stripe.com/payments/currencies/localize-prices/adaptive-pricing
    """

    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class TaxId:
    """A buyer's tax id; `kind` is Stripe's type, such as eu_vat."""

    kind: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The current state of a Checkout Session. Amounts are in the currency's smallest unit.

    `paid` is also true if no payment was needed; `free` is true only then. `failed`: a delayed
    payment failed. `recovered_from` is the id of the expired checkout that this one copies;
    `recovery_url` of an expired checkout opens such a copy. `made_for` is the `reference` from the
    metadata, which only the owner of the key can write. `quantity` counts the first ten line items;
    ours have one. `site`, `number`, `course` and `cohort` are from the metadata; older checkouts
    have none. `email` and `name` were typed by the buyer at Stripe, or prefilled.
    """

    id: str
    reference: str | None
    made_for: str | None
    status: Status
    paid: bool
    failed: bool
    url: str | None
    currency: str
    quantity: int
    amount_subtotal: int
    amount_discount: int
    amount_tax: int
    amount_total: int
    payment_intent: str | None
    created_at: datetime
    free: bool = False
    live: bool = False
    promotion_codes: tuple[str, ...] = ()
    tax_ids: tuple[TaxId, ...] = ()
    terms_accepted: bool = False
    invoice: str | None = None
    presentment: Presentment | None = None
    recovered_from: str | None = None
    recovery_url: str | None = None
    site: str | None = None
    number: int | None = None
    course: str = ""
    cohort: str = ""
    item: str = ""
    unit_amount: int = 0
    email: str = ""
    name: str = ""

    @property
    def pending(self) -> bool:
        """Whether the buyer has completed the checkout and the payment arrives later."""
        return self.status == "complete" and not (self.paid or self.failed)


class _Sale(TypedDict):
    site: str | None
    number: int | None
    course: str
    cohort: str
    item: str
    unit_amount: int
    email: str
    name: str


def session_params(purchase: Purchase) -> SessionCreateParams:
    """Return the parameters of a purchase's Checkout Session."""
    options = purchase.options
    metadata = {
        MADE_FOR: purchase.reference,
        SITE: purchase.site,
        NUMBER: str(purchase.number),
        COURSE: purchase.course,
        COHORT: purchase.cohort,
    }
    params: SessionCreateParams = {
        "mode": "payment",
        "line_items": [
            {
                "quantity": purchase.quantity,
                "price_data": {
                    "currency": purchase.currency.lower(),
                    "unit_amount": purchase.unit_amount,
                    "product_data": {"name": purchase.item},
                    "tax_behavior": options.tax_behavior or "unspecified",
                },
            }
        ],
        "client_reference_id": purchase.reference,
        "metadata": metadata,
        # Stripe does not copy it there, and a dispute refers only to the payment.
        "payment_intent_data": {"metadata": metadata},
        "success_url": purchase.return_url,
        "cancel_url": purchase.return_url,
        "expires_at": int(purchase.expires_at.timestamp()),
        "submit_type": options.submit,
        "locale": "auto",
        "expand": ["line_items", "payment_intent"],
    }
    if purchase.email:
        params["customer_email"] = purchase.email
    if options.promotion_codes:
        params["allow_promotion_codes"] = True
    if options.automatic_tax:
        params["automatic_tax"] = {"enabled": True}
    if options.tax_ids:
        params["tax_id_collection"] = {"enabled": True}
    if options.invoices:
        params["invoice_creation"] = {"enabled": True}
    if options.terms:
        params["consent_collection"] = {"terms_of_service": "required"}
        # Our own text: Stripe's default text links to the URL that is set in its dashboard.
        # https://docs.stripe.com/payments/checkout/customization/policies#custom-text
        agreed = f"I agree to the [terms]({purchase.terms_url})"
        params["custom_text"] = {"terms_of_service_acceptance": {"message": agreed}}
    if options.recovery:
        params["after_expiration"] = {
            "recovery": {"enabled": True, "allow_promotion_codes": options.promotion_codes}
        }
    if options.always_customer:
        params["customer_creation"] = "always"
    if options.excluded_methods:
        # The SDK types each method as a literal. Stripe refuses an unknown one and names it.
        params["excluded_payment_method_types"] = list[Any](options.excluded_methods)
    return params


def checkout(session: Session) -> Checkout:
    """Convert Stripe's object. Raises NotUnderstood."""
    read = fields(session, "checkout.session")
    details = read.maybe_inner("total_details")
    items = read.maybe_inner("line_items")
    metadata = read.maybe_inner("metadata")
    consent = read.maybe_inner("consent")
    expired = read.maybe_inner("after_expiration")
    recovery = expired.maybe_inner("recovery") if expired else None
    payment = read.text("payment_status")
    codes = (one.link("promotion_code") for one in read.every("discounts"))
    return Checkout(
        id=read.text("id"),
        reference=read.maybe_text("client_reference_id"),
        made_for=metadata.maybe_text(MADE_FOR) if metadata else None,
        **_sale(read),
        status=cast(Status, read.maybe_text("status") or "open"),
        paid=payment in ("paid", "no_payment_required"),
        failed=_has_failed(read),
        url=read.maybe_text("url"),
        currency=(read.maybe_text("currency") or "").upper(),
        quantity=sum(one.maybe_number("quantity") or 0 for one in items.every("data"))
        if items
        else 0,
        amount_subtotal=read.maybe_number("amount_subtotal") or 0,
        amount_discount=details.number("amount_discount") if details else 0,
        amount_tax=details.number("amount_tax") if details else 0,
        amount_total=read.maybe_number("amount_total") or 0,
        payment_intent=read.link("payment_intent"),
        created_at=read.time("created"),
        free=payment == "no_payment_required",
        live=read.flag("livemode"),
        promotion_codes=tuple(code for code in codes if code),
        tax_ids=_tax_ids(read),
        terms_accepted=consent is not None and consent.maybe_text("terms_of_service") == "accepted",
        invoice=read.link("invoice"),
        presentment=_presentment(read),
        recovered_from=read.maybe_text("recovered_from"),
        recovery_url=recovery.maybe_text("url") if recovery else None,
    )


def _tax_ids(session: Fields) -> tuple[TaxId, ...]:
    customer = session.maybe_inner("customer_details")
    return tuple(
        TaxId(kind=one.text("type"), value=one.maybe_text("value") or "")
        for one in (customer.every("tax_ids") if customer else ())
    )


def _presentment(session: Fields) -> Presentment | None:
    """Return the converted price; None when Stripe converted none."""
    shown = session.maybe_inner("presentment_details")
    if shown is None:
        return None
    return Presentment(
        amount=shown.number("presentment_amount"),
        currency=shown.text("presentment_currency").upper(),
    )


def _sale(session: Fields) -> _Sale:
    """Return the site, order, item and buyer of a checkout; missing values are empty."""
    metadata = session.maybe_inner("metadata")
    items = session.maybe_inner("line_items")
    first = next(iter(items.every("data")), None) if items else None
    buyer = session.maybe_inner("customer_details")
    typed = buyer.maybe_text("email") if buyer else None
    return {
        "site": metadata.maybe_text(SITE) if metadata else None,
        "number": _number(metadata.maybe_text(NUMBER)) if metadata else None,
        "course": (metadata.maybe_text(COURSE) if metadata else None) or "",
        "cohort": (metadata.maybe_text(COHORT) if metadata else None) or "",
        "item": (first.maybe_text("description") if first else None) or "",
        "unit_amount": first.number("amount_subtotal") // (first.maybe_number("quantity") or 1)
        if first
        else 0,
        "email": typed or session.maybe_text("customer_email") or "",
        "name": (buyer.maybe_text("name") if buyer else None) or "",
    }


def _number(value: str | None) -> int | None:
    """Return the order number in a metadata value; None when it is not a valid number."""
    digits = value is not None and value.isascii() and value.isdecimal()
    return int(value) if value and digits and len(value) <= NUMBER_LENGTH else None


def _has_failed(session: Fields) -> bool:
    """Tell whether a delayed payment failed.

    The session stays complete and unpaid; only the status of its payment intent shows it.
    https://docs.stripe.com/payments/paymentintents/lifecycle
    """
    intent = session.expanded("payment_intent")
    return (
        session.maybe_text("status") == "complete"
        and session.text("payment_status") == "unpaid"
        and intent is not None
        and intent.text("status") in ("requires_payment_method", "canceled")
    )
