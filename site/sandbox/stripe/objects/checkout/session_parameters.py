"""Parameters to create and to list Checkout Sessions.

Source: stripe/params/checkout/_session_create_params.py and _session_list_params.py of the SDK,
and https://docs.stripe.com/api/checkout/sessions/create. A test compares the names.
"""

from typing import Final

from sandbox.stripe.pagination import PAGING
from sandbox.stripe.parameters import (
    Array,
    Boolean,
    Choice,
    Currency,
    Email,
    Integer,
    Metadata,
    Parameters,
    Text,
    TimeRange,
    Url,
)

EXPAND: Final = Array(Text())
METHODS: Final = ("card", "sepa_debit")
ONLY_FALSE: Final = Boolean(unsupported_when_true=True)

PRODUCT_DATA: Final = Parameters(
    {
        "name": Text(),
        "description": Text(),
        "images": Array(Url(), maximum=8),
        "metadata": Metadata(),
        "tax_code": Text(),
        "unit_label": Text(12),
    },
    required=("name",),
    unsupported=("tax_details",),
)
PRICE_DATA: Final = Parameters(
    {
        "currency": Currency(),
        "unit_amount": Integer(minimum=0),
        "product_data": PRODUCT_DATA,
        "tax_behavior": Choice(("exclusive", "inclusive", "unspecified")),
    },
    required=("currency",),
    unsupported=("product", "recurring", "unit_amount_decimal"),
)
LINE_ITEM: Final = Parameters(
    {
        "price": Text(),
        "price_data": PRICE_DATA,
        "quantity": Integer(minimum=1, maximum=999_999),
        "metadata": Metadata(),
        "adjustable_quantity": Parameters(
            {"enabled": ONLY_FALSE, "maximum": Integer(1, 999_999), "minimum": Integer(0)},
            required=("enabled",),
        ),
    },
    unsupported=("tax_rates",),
)
PAYMENT_INTENT_DATA: Final = Parameters(
    {
        "description": Text(1000),
        "metadata": Metadata(),
        "receipt_email": Email(),
        "capture_method": Choice(("automatic", "automatic_async"), unsupported=("manual",)),
        "statement_descriptor": Text(22),
        "statement_descriptor_suffix": Text(22),
    },
    unsupported=(
        "application_fee_amount",
        "on_behalf_of",
        "setup_future_usage",
        "shipping",
        "transfer_data",
        "transfer_group",
    ),
)
CUSTOM_TEXT: Final = Parameters({"message": Text(1200)}, required=("message",), unset=True)

CREATE: Final = Parameters(
    {
        "mode": Choice(("payment",), unsupported=("setup", "subscription")),
        "ui_mode": Choice(("hosted_page",), unsupported=("elements", "embedded_page", "form")),
        "line_items": Array(LINE_ITEM, maximum=100),
        "success_url": Url(),
        "cancel_url": Url(),
        "client_reference_id": Text(200),
        "customer_email": Email(),
        "customer_creation": Choice(("always", "if_required")),
        "expires_at": Integer(),
        "metadata": Metadata(),
        "payment_intent_data": PAYMENT_INTENT_DATA,
        "payment_method_collection": Choice(("if_required",), unsupported=("always",)),
        "allowed_payment_method_types": Array(Text()),
        "excluded_payment_method_types": Array(Text()),
        "currency": Currency(),
        "locale": Text(10),
        "submit_type": Choice(("auto", "book", "donate", "pay"), unsupported=("subscribe",)),
        "billing_address_collection": Choice(("auto",), unsupported=("required",)),
        "integration_identifier": Text(200),
        "origin_context": Choice(("mobile_app", "web")),
        "allow_promotion_codes": Boolean(),
        "discounts": Array(Parameters({"coupon": Text(), "promotion_code": Text()}), maximum=1),
        "adaptive_pricing": Parameters({"enabled": ONLY_FALSE}),
        "automatic_tax": Parameters(
            {"enabled": Boolean()}, required=("enabled",), unsupported=("liability",)
        ),
        "tax_id_collection": Parameters(
            {"enabled": Boolean(), "required": Choice(("if_supported", "never"))},
            required=("enabled",),
        ),
        "invoice_creation": Parameters(
            {"enabled": Boolean()}, required=("enabled",), unsupported=("invoice_data",)
        ),
        "phone_number_collection": Parameters({"enabled": ONLY_FALSE}, required=("enabled",)),
        "after_expiration": Parameters(
            {
                "recovery": Parameters(
                    {"enabled": Boolean(), "allow_promotion_codes": Boolean()},
                    required=("enabled",),
                )
            }
        ),
        "consent_collection": Parameters(
            {
                "terms_of_service": Choice(("none", "required")),
                "promotions": Choice(("none",), unsupported=("auto",)),
            },
            unsupported=("payment_method_reuse_agreement",),
        ),
        "custom_text": Parameters(
            {
                "submit": CUSTOM_TEXT,
                "after_submit": CUSTOM_TEXT,
                "terms_of_service_acceptance": CUSTOM_TEXT,
            },
            unsupported=("shipping_address",),
        ),
        "expand": EXPAND,
    },
    required=("mode", "line_items", "success_url"),
    unsupported=(
        "branding_settings",
        "custom_fields",
        "customer",
        "customer_account",
        "customer_update",
        "managed_payments",
        "name_collection",
        "optional_items",
        "payment_method_configuration",
        "payment_method_data",
        "payment_method_options",
        "permissions",
        "redirect_on_completion",
        "return_url",
        "saved_payment_method_options",
        "setup_intent_data",
        "shipping_address_collection",
        "shipping_options",
        "subscription_data",
        "wallet_options",
    ),
)
LIST: Final = Parameters(
    {
        **PAGING,
        "created": TimeRange(),
        "customer": Text(),
        "customer_details": Parameters({"email": Text()}, required=("email",)),
        "payment_intent": Text(),
        "status": Choice(("complete", "expired", "open")),
    },
    unsupported=("customer_account", "payment_link", "subscription"),
)
