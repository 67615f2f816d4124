"""Checkout Sessions: the parameters to create one, and its state at Stripe."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from crossroads.payments.fields import Fields, fields

if TYPE_CHECKING:
    from stripe.checkout import Session
    from stripe.params.checkout import SessionCreateParams

SITE = "site"  # the name in Stripe's metadata of the id of the site that made something
NUMBER_LENGTH = 10  # digits of the highest number that a column holds
NUMBER, COURSE, COHORT = "number", "course", "cohort"
MADE_FOR = "order"  # the name in Stripe's metadata of the order that something was made for

Status = Literal["open", "complete", "expired"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a checkout may do beyond taking money. All of it is off unless asked for.

    Most of it has to be set up at Stripe first: codes to be made, tax registrations, the address
    of the terms. Without them Stripe refuses the checkout.
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
    """What is to be paid. Amounts count the currency's smallest unit.

    `email` is filled in for the buyer, who types it on Stripe's page where it is empty. `site` is
    the id of the site that sells, `number` that of its order: they, `course` and `cohort` are in
    the metadata, so that what was bought is known even when the order is lost here.
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
    """What a buyer was shown and pays in a currency of their own; ours stays what it was.

    https://docs.stripe.com/payments/currencies/localize-prices/adaptive-pricing
    """

    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class TaxId:
    """A buyer's number at a tax office, of a kind like eu_vat."""

    kind: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A Checkout Session as it is at Stripe now. Amounts count the currency's smallest unit.

    `paid` counts what needed no payment too, then `free` says so. `failed`: a later payment did
    not come. `recovered_from` names the expired checkout that this one is a copy of; `recovery_url`
    leads from an expired one to such a copy. `made_for` is the `reference` once more, from where
    only the owner of the key can write it. `quantity` counts the first ten lines: ours have one.
    `site`, `number`, `course` and `cohort` are the metadata's; checkouts from before have none.
    `email` and `name` are what the buyer typed at Stripe, or what was filled in for them.
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
        """Tell whether the buyer has completed it, and the payment arrives later."""
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
    notes = {
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
        "metadata": notes,
        # Not copied there by itself, and a dispute leads to the payment alone.
        "payment_intent_data": {"metadata": notes},
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
        # The box is ours to word: Stripe's own links to the address that is set up there.
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
        # Stripe names each method as a literal: what it does not know, it refuses by name.
        params["excluded_payment_method_types"] = list[Any](options.excluded_methods)
    return params


def checkout(session: Session) -> Checkout:
    """Copy what we need out of Stripe's object. Raises NotUnderstood."""
    read = fields(session, "checkout.session")
    details = read.maybe_inner("total_details")
    items = read.maybe_inner("line_items")
    notes = read.maybe_inner("metadata")
    consent = read.maybe_inner("consent")
    expired = read.maybe_inner("after_expiration")
    recovery = expired.maybe_inner("recovery") if expired else None
    payment = read.text("payment_status")
    codes = (one.link("promotion_code") for one in read.every("discounts"))
    return Checkout(
        id=read.text("id"),
        reference=read.maybe_text("client_reference_id"),
        made_for=notes.maybe_text(MADE_FOR) if notes else None,
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
    """Return what the buyer was shown; Stripe leaves it out where it converted no price."""
    shown = session.maybe_inner("presentment_details")
    if shown is None:
        return None
    return Presentment(
        amount=shown.number("presentment_amount"),
        currency=shown.text("presentment_currency").upper(),
    )


def _sale(session: Fields) -> _Sale:
    """Return whose sale a checkout is and of what: from the metadata, the first line, the buyer."""
    notes = session.maybe_inner("metadata")
    items = session.maybe_inner("line_items")
    first = next(iter(items.every("data")), None) if items else None
    buyer = session.maybe_inner("customer_details")
    typed = buyer.maybe_text("email") if buyer else None
    return {
        "site": notes.maybe_text(SITE) if notes else None,
        "number": _number(notes.maybe_text(NUMBER)) if notes else None,
        "course": (notes.maybe_text(COURSE) if notes else None) or "",
        "cohort": (notes.maybe_text(COHORT) if notes else None) or "",
        "item": (first.maybe_text("description") if first else None) or "",
        "unit_amount": first.number("amount_subtotal") // (first.maybe_number("quantity") or 1)
        if first
        else 0,
        "email": typed or session.maybe_text("customer_email") or "",
        "name": (buyer.maybe_text("name") if buyer else None) or "",
    }


def _number(note: str | None) -> int | None:
    """Return the number of an order that a note holds, None for what cannot be one."""
    digits = note is not None and note.isascii() and note.isdecimal()
    return int(note) if note and digits and len(note) <= NUMBER_LENGTH else None


def _has_failed(session: Fields) -> bool:
    """Tell whether a payment that was to come later will not come.

    The session itself stays complete and unpaid; only its payment knows.
    https://docs.stripe.com/payments/paymentintents/lifecycle
    """
    intent = session.expanded("payment_intent")
    return (
        session.maybe_text("status") == "complete"
        and session.text("payment_status") == "unpaid"
        and intent is not None
        and intent.text("status") in ("requires_payment_method", "canceled")
    )
