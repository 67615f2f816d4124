"""One purchase in each kind of currency: all pages and files show the same exact amounts.

Source: https://docs.stripe.com/currencies: two digits, none, and three of which the last is zero.
"""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from models import Order, db
from tests.support.desk_visits import desk, send
from tests.support.order_mails import mails, read
from tests.support.purchases import course_file, order_page, words
from tests.support.sandbox_server import KEY, SandboxServer, fetch

pytestmark = pytest.mark.usefixtures("one_day")

OPTIONS = "promotion_codes automatic_tax invoices terms"
# The price of one seat; then for two seats, with a discount of 10% and a tax of 10%, subtotal,
# discount, tax and total as Stripe computes them, as people read them, and as decimals.
PRICED = {
    "USD": (
        119_999, (239_998, 24_000, 21_600, 237_598),
        ("$2,399.98", "-$240", "$216", "$2,375.98"), ("2399.98", "240.00", "216.00", "2375.98"),
    ),
    "EUR": (
        119_999, (239_998, 24_000, 21_600, 237_598),
        ("€2,399.98", "-€240", "€216", "€2,375.98"), ("2399.98", "240.00", "216.00", "2375.98"),
    ),
    "JPY": (
        150_001, (300_002, 30_000, 27_000, 297_002),
        ("¥300,002", "-¥30,000", "¥27,000", "¥297,002"), ("300002", "30000", "27000", "297002"),
    ),
    "KWD": (
        99_990, (199_980, 20_000, 18_000, 197_980),
        ("KWD 199.980", "-KWD 20", "KWD 18", "KWD 197.980"),
        ("199.980", "20.000", "18.000", "197.980"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("currency", "database_url"),
    [("USD", "sqlite"), ("EUR", "postgresql"), ("JPY", "sqlite"), ("KWD", "postgresql")],
    indirect=["database_url"],
)
def test_page_session_mails_desk_and_export_show_the_same_amounts(
    database_url: str,
    make_app: Any,
    sandbox: SandboxServer,
    site_root: Path,
    instance: Path,
    currency: str,
) -> None:
    price, amounts, said, written = PRICED[currency]
    content = course_file(site_root, OPTIONS, price, currency)
    app = make_app(
        root=site_root,
        database_url=database_url,
        stripe_secret_key=KEY,
        stripe_webhook_secret="whsec_x",
        stripe_api_base=sandbox.url,
    )
    client = app.test_client()
    (course,) = content.courses
    enroll = f"/courses/{course.slug}/enroll"
    form = {"cohort": course.cohorts[0].code, "seats": "2", "name": "Maria"}
    form |= {"email": "maria@example.com", "request_key": "key"}
    summary = client.post(enroll, data={**form, "amount": "1"}).text  # not the amount on the button
    assert f"Pay {said[0]} plus tax with Stripe" in seen(summary)
    pay_page = client.post(enroll, data={**form, "amount": str(amounts[0])}).location
    fetch(f"{pay_page}/code", form={"promotion_code": "TENOFF"})
    sandbox.pay(pay_page, terms="yes")

    with app.app_context(), Session(db.engine, expire_on_commit=False) as session:
        order = session.query(Order).one()
    sold = sandbox.client().v1.checkout.sessions.retrieve(str(order.session_id))
    assert sold.currency == currency.lower() and sold.total_details is not None
    assert amounts == (
        sold.amount_subtotal,
        sold.total_details.amount_discount,
        sold.total_details.amount_tax,
        sold.amount_total,
    )
    lines = f"Price {said[0]} Discount {said[1]} Tax {said[2]} Paid {said[3]}"
    page = seen(order_page(client, order))
    assert lines in page and "Invoice at Stripe" in page
    receipt, _ = mails(app, instance, content)
    text, html = (one.replace("\N{NO-BREAK SPACE}", " ") for one in read(receipt))
    assert f"Price: {said[0]} Discount: {said[1]} Tax: {said[2]} Paid: {said[3]}" in text
    assert lines in html

    invoice = client.get(f"/orders/{order.token}/invoice")
    assert invoice.status_code == 303 and invoice.headers["Referrer-Policy"] == "no-referrer"
    assert fetch(invoice.location).status == 200
    staff = desk(app, "finance")
    record = seen(staff.get(f"/admin/orders/{order.id}").text)
    assert f"Sold {said[0]} Discount {said[1]} Tax {said[2]} Paid {said[3]}" in plain(
        record, currency
    )
    assert staff.get(f"/admin/orders/{order.id}/invoice").location == invoice.location
    home = seen(staff.get("/admin/").text)
    assert f"Revenue {said[3]} last 7 days, in {currency}" in plain(home, currency)
    with send(staff, "/admin/orders/export", {"format": "csv"}, page="/admin/orders") as answer:
        (row,) = csv.DictReader(io.StringIO(answer.data.decode(), newline=""))
    assert written == tuple(
        row[name] for name in ("paid_subtotal", "paid_discount", "paid_tax", "paid_total")
    )
    assert (row["currency"], row["price"], row["net"]) == (currency, written[0], written[3])


def seen(html: str) -> str:
    """Return the text of a page, with all spaces alike."""
    return words(html).replace("\N{NO-BREAK SPACE}", " ")


def plain(text: str, currency: str) -> str:
    """Return the text of the desk without the currency code that it puts after an amount."""
    return text.replace(f" {currency} ", " ") if currency != "KWD" else text
