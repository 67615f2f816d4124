"""What Checkout Sessions may be created and listed with.

Source: stripe/params/checkout/_session_create_params.py and _session_list_params.py of the SDK,
and https://docs.stripe.com/api/checkout/sessions/create. A test compares the names.
"""

from typing import Final

from sandbox.stripe.pagination import PAGING
from sandbox.stripe.parameters import (
    Array,
    Choice,
    Currency,
    Email,
    Flag,
    Integer,
    Interval,
    Metadata,
    Shape,
    Text,
    Url,
)

EXPAND: Final = Array(Text())
METHODS: Final = ("card", "sepa_debit")
OFF: Final = Flag(beyond_when_on=True)

PRODUCT_DATA: Final = Shape(
    {
        "name": Text(),
        "description": Text(),
        "images": Array(Url(), most=8),
        "metadata": Metadata(),
        "tax_code": Text(),
        "unit_label": Text(12),
    },
    required=("name",),
    beyond=("tax_details",),
)
PRICE_DATA: Final = Shape(
    {
        "currency": Currency(),
        "unit_amount": Integer(least=0),
        "product_data": PRODUCT_DATA,
        "tax_behavior": Choice(("exclusive", "inclusive", "unspecified")),
    },
    required=("currency",),
    beyond=("product", "recurring", "unit_amount_decimal"),
)
LINE_ITEM: Final = Shape(
    {
        "price": Text(),
        "price_data": PRICE_DATA,
        "quantity": Integer(least=1, most=999_999),
        "metadata": Metadata(),
        "adjustable_quantity": Shape(
            {"enabled": OFF, "maximum": Integer(1, 999_999), "minimum": Integer(0)},
            required=("enabled",),
        ),
    },
    beyond=("tax_rates",),
)
PAYMENT_INTENT_DATA: Final = Shape(
    {
        "description": Text(1000),
        "metadata": Metadata(),
        "receipt_email": Email(),
        "capture_method": Choice(("automatic", "automatic_async"), beyond=("manual",)),
        "statement_descriptor": Text(22),
        "statement_descriptor_suffix": Text(22),
    },
    beyond=(
        "application_fee_amount",
        "on_behalf_of",
        "setup_future_usage",
        "shipping",
        "transfer_data",
        "transfer_group",
    ),
)
CUSTOM_TEXT: Final = Shape({"message": Text(1200)}, required=("message",), unset=True)

CREATE: Final = Shape(
    {
        "mode": Choice(("payment",), beyond=("setup", "subscription")),
        "ui_mode": Choice(("hosted_page",), beyond=("elements", "embedded_page", "form")),
        "line_items": Array(LINE_ITEM, most=100),
        "success_url": Url(),
        "cancel_url": Url(),
        "client_reference_id": Text(200),
        "customer_email": Email(),
        "customer_creation": Choice(("always", "if_required")),
        "expires_at": Integer(),
        "metadata": Metadata(),
        "payment_intent_data": PAYMENT_INTENT_DATA,
        "payment_method_collection": Choice(("if_required",), beyond=("always",)),
        "allowed_payment_method_types": Array(Text()),
        "excluded_payment_method_types": Array(Text()),
        "currency": Currency(),
        "locale": Text(10),
        "submit_type": Choice(("auto", "book", "donate", "pay"), beyond=("subscribe",)),
        "billing_address_collection": Choice(("auto",), beyond=("required",)),
        "integration_identifier": Text(200),
        "origin_context": Choice(("mobile_app", "web")),
        "allow_promotion_codes": Flag(),
        "discounts": Array(Shape({"coupon": Text(), "promotion_code": Text()}), most=1),
        "adaptive_pricing": Shape({"enabled": OFF}),
        "automatic_tax": Shape({"enabled": Flag()}, required=("enabled",), beyond=("liability",)),
        "tax_id_collection": Shape(
            {"enabled": Flag(), "required": Choice(("if_supported", "never"))},
            required=("enabled",),
        ),
        "invoice_creation": Shape(
            {"enabled": Flag()}, required=("enabled",), beyond=("invoice_data",)
        ),
        "phone_number_collection": Shape({"enabled": OFF}, required=("enabled",)),
        "after_expiration": Shape(
            {
                "recovery": Shape(
                    {"enabled": Flag(), "allow_promotion_codes": Flag()}, required=("enabled",)
                )
            }
        ),
        "consent_collection": Shape(
            {
                "terms_of_service": Choice(("none", "required")),
                "promotions": Choice(("none",), beyond=("auto",)),
            },
            beyond=("payment_method_reuse_agreement",),
        ),
        "custom_text": Shape(
            {
                "submit": CUSTOM_TEXT,
                "after_submit": CUSTOM_TEXT,
                "terms_of_service_acceptance": CUSTOM_TEXT,
            },
            beyond=("shipping_address",),
        ),
        "expand": EXPAND,
    },
    required=("mode", "line_items", "success_url"),
    beyond=(
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
LIST: Final = Shape(
    {
        **PAGING,
        "created": Interval(),
        "customer": Text(),
        "customer_details": Shape({"email": Text()}, required=("email",)),
        "payment_intent": Text(),
        "status": Choice(("complete", "expired", "open")),
    },
    beyond=("customer_account", "payment_link", "subscription"),
)
