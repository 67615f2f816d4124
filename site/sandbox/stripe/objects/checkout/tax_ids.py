"""Tax ids, as typed by buyers (https://docs.stripe.com/tax/checkout/tax-ids)."""

import re
from typing import Final

from sandbox.stripe.objects.payments.cards import InvalidFields

# Some of Stripe's types of tax id, recognized by their form; none is verified.
FORMATS: Final = {
    "eu_vat": r"(AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK)"
    r"[0-9A-Z]{8,12}",
    "gb_vat": r"GB([0-9]{9}|[0-9]{12})",
    "ch_vat": r"CHE[0-9]{9}(MWST|TVA|IVA)",
    "us_ein": r"[0-9]{2}-[0-9]{7}",
}


def parse(typed: str, *, required: bool) -> dict[str, str] | None:
    """Return the typed tax id. Raises InvalidFields for an unknown form."""
    value = re.sub(r"[\s.]", "", typed).upper()
    if not value and not required:
        return None
    for name, pattern in FORMATS.items():
        if re.fullmatch(pattern, value):
            return {"type": name, "value": value}
    raise InvalidFields({"tax_id": "Enter a tax ID, like DE123456789 or 12-3456789"})
