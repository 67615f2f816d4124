"""A Checkout Session as the API shows it, with every field that the SDK declares."""

from typing import Any

from sandbox.stripe.store import StripeObject


def session_object(
    given: dict[str, Any],
    *,
    id: str,  # noqa: A002 # as the API calls it
    url: str,
    now: int,
    expires_at: int,
    currency: str,
    total: int,
    methods: list[str],
) -> StripeObject:
    """Return a new session (stripe/checkout/_session.py). `url` is the sandbox's own address."""
    email = given.get("customer_email")
    return {
        "id": id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": _after_expiration(given.get("after_expiration")),
        "allow_promotion_codes": given.get("allow_promotion_codes"),
        "allowed_payment_method_types": given.get("allowed_payment_method_types"),
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": _automatic_tax(given.get("automatic_tax", {})),
        "billing_address_collection": given.get("billing_address_collection"),
        "branding_settings": {
            "background_color": "#ffffff",
            "border_style": "rounded",
            "button_color": "#0074d4",
            "display_name": "Sandbox",
            "font_family": "default",
            "icon": None,
            "logo": None,
        },
        "cancel_url": given.get("cancel_url"),
        "client_reference_id": given.get("client_reference_id"),
        "client_secret": None,
        "collected_information": {
            "business_name": None,
            "individual_name": None,
            "shipping_details": None,
        },
        "consent": None,
        "consent_collection": _consent_collection(given.get("consent_collection")),
        "created": now,
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": _custom_text(given.get("custom_text", {})),
        "customer": None,
        "customer_account": None,
        "customer_creation": given.get("customer_creation", "if_required"),
        "customer_details": customer_details(email, None) if email else None,
        "customer_email": email,
        "discounts": [],
        "excluded_payment_method_types": given.get("excluded_payment_method_types"),
        "expires_at": expires_at,
        "integration_identifier": given.get("integration_identifier"),
        "invoice": None,
        "invoice_creation": {
            "enabled": given.get("invoice_creation", {}).get("enabled", False),
            "invoice_data": {
                "account_tax_ids": None,
                "custom_fields": None,
                "description": None,
                "footer": None,
                "issuer": None,
                "metadata": {},
                "rendering_options": None,
            },
        },
        "livemode": False,
        "locale": given.get("locale"),
        "managed_payments": {"enabled": False},
        "metadata": given.get("metadata", {}),
        "mode": "payment",
        "name_collection": None,
        "optional_items": None,
        "origin_context": given.get("origin_context"),
        "payment_intent": None,  # until the first payment attempt
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": methods,
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "presentment_details": None,
        "recovered_from": None,
        "redirect_on_completion": None,
        "return_url": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": given.get("submit_type"),
        "subscription": None,
        "success_url": given["success_url"],
        "tax_id_collection": {
            "enabled": given.get("tax_id_collection", {}).get("enabled", False),
            "required": given.get("tax_id_collection", {}).get("required", "never"),
        },
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{url}/pay/{id}",
        "wallet_options": None,
    }


def customer_details(
    email: str | None, name: str | None, *, country: str | None = None
) -> StripeObject:
    """Return the customer's details; of the address only the country, which the card gives."""
    return {
        "address": address(country) if country else None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [] if country else None,
    }


def address(country: str | None) -> StripeObject:
    """Return an address with only the country."""
    parts = ("city", "country", "line1", "line2", "postal_code", "state")
    return {part: country if part == "country" else None for part in parts}


def _automatic_tax(given: dict[str, Any]) -> StripeObject:
    if not given.get("enabled"):
        return {"enabled": False, "liability": None, "provider": None, "status": None}
    return {
        "enabled": True,
        "liability": {"account": None, "type": "self"},
        "provider": "stripe",
        "status": "requires_location_inputs",  # until the buyer enters an address
    }


def _after_expiration(given: dict[str, Any] | None) -> StripeObject | None:
    if given is None or "recovery" not in given:
        return None
    recovery = {
        "allow_promotion_codes": given["recovery"].get("allow_promotion_codes", False),
        "enabled": given["recovery"]["enabled"],
        "expires_at": None,
        "url": None,
    }
    return {"recovery": recovery}


def _consent_collection(given: dict[str, Any] | None) -> StripeObject | None:
    if given is None:
        return None
    return {
        "payment_method_reuse_agreement": None,
        "promotions": given.get("promotions", "none"),
        "terms_of_service": given.get("terms_of_service", "none"),
    }


def _custom_text(given: dict[str, Any]) -> StripeObject:
    places = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    return {place: given.get(place) for place in places}
