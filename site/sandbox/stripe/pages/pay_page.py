"""The payment page at a session's `url`, with authentication, receipts and invoices."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from flask import Flask, abort, make_response, redirect, render_template, request, url_for
from markupsafe import Markup, escape
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from sandbox.page_setup import set_up_pages
from sandbox.stripe import currencies
from sandbox.stripe.errors import ApiError
from sandbox.stripe.objects import due_jobs
from sandbox.stripe.objects.checkout import payment_attempt, pricing, promotions, sessions, tax_ids
from sandbox.stripe.objects.checkout.payment_attempt import Buyer
from sandbox.stripe.objects.payments import cards
from sandbox.stripe.objects.payments.cards import Instrument, InvalidFields
from sandbox.stripe.parameters import Email
from sandbox.stripe.store import Store, StripeObject

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; font-src 'self'; img-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
# From top to bottom: the order in which wrong fields are listed.
FIELDS = (
    "email", "method", "number", "expiry", "cvc", "iban", "name", "tax_id", "terms"
)  # fmt: skip
VERBS = {"book": "Book for", "donate": "Donate"}  # by submit_type; else: Pay


TEST_NUMBERS = (
    ("4242 4242 4242 4242", "pays"),
    ("4000 0025 0000 3155", "asks for authentication, then pays"),
    ("4000 0000 0000 0259", "pays, and is disputed soon after"),
    ("4000 0000 0000 7726", "pays, and is refunded with a delay"),
    ("4000 0000 0000 5126", "pays, and its refunds fail in the end"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "is declined: insufficient funds"),
    ("4000 0000 0000 0069", "is declined: expired"),
    ("4000 0000 0000 0127", "is declined: wrong security code"),
    ("AT32 1904 3002 3547 3204", "bank account: pays later"),
    ("AT86 1904 3002 3547 3202", "bank account: fails later"),
)


def create_pay_page(store: Store, settle_seconds: float) -> Flask:
    """Return the app of the payment page, mounted below /pay."""
    app = Flask(__name__)
    app.jinja_env.filters.update(money=currencies.formatted, linked=_with_links)

    def session_or_404(id: str) -> tuple[StripeObject, list[StripeObject]]:  # noqa: A002
        due_jobs.run_due(store)
        with store.reading() as tx:
            session = tx.find("checkout.session", id)
            if session is None:
                abort(404)
            return session, tx.hidden(id)["line_items"]

    @app.get("/<id>")
    def show(id: str) -> Response:  # noqa: A002
        session, items = session_or_404(id)
        return _page(session, items, {"email": session["customer_email"] or ""})

    @app.post("/<id>/code")
    def redeem(id: str) -> Response:  # noqa: A002
        session, items = session_or_404(id)
        if session["status"] != "open" or not session["allow_promotion_codes"]:
            return _page(session, items, {})
        with store.writing() as tx:
            wrong = promotions.redeem(
                tx, tx.get("checkout.session", id), request.form.get("promotion_code", "")
            )
        if wrong:
            errors = {"promotion_code": wrong}
            return _page(session, items, request.form, errors=errors, status=422)
        return redirect(url_for("show", id=id), 303)

    @app.get("/<id>/recover")
    def recover(id: str) -> Response:  # noqa: A002
        session_or_404(id)
        try:
            with store.writing() as tx:
                return redirect(sessions.recover(tx, id)["url"], 303)
        except ApiError:
            abort(404)

    @app.post("/<id>")
    def pay(id: str) -> Response:  # noqa: A002
        session, items = session_or_404(id)
        if session["status"] == "complete":  # a second click
            return _redirect_to_success(session)
        try:
            buyer, instrument = _parse_form(request.form, session)
        except InvalidFields as invalid:
            return _page(session, items, request.form, errors=invalid.fields, status=422)
        with store.writing() as tx:
            session = tx.get("checkout.session", id)
            if session["status"] == "open":
                result, message = payment_attempt.pay(
                    tx, session, buyer, instrument, settle_seconds
                )
            else:
                result, message = "done", ""
        if result == "authenticate":
            return redirect(url_for("ask_to_authenticate", id=id), 303)
        if result == "declined":
            return _page(session, items, request.form, declined=message, status=402)
        return (
            _redirect_to_success(session)
            if session["status"] == "complete"
            else _page(session, items, {})
        )

    @app.get("/<id>/authenticate")
    def ask_to_authenticate(id: str) -> Response:  # noqa: A002
        session, items = session_or_404(id)
        if session["status"] != "open":
            return _page(session, items, {})
        return _with_policy(render_template("authenticate.html", session=session), session)

    @app.post("/<id>/authenticate")
    def answer_authentication(id: str) -> Response:  # noqa: A002
        session, items = session_or_404(id)
        with store.writing() as tx:
            session = tx.get("checkout.session", id)
            hidden = tx.hidden(id)
            if session["status"] != "open" or "attempt" not in hidden:
                result, message = "done", ""
            else:
                proven = request.form.get("outcome") == "complete"
                result, message = payment_attempt.authenticate(tx, session, proven)
        if result == "declined":
            given = {key: hidden["attempt"]["buyer"][key] or "" for key in ("email", "name")}
            return _page(session, items, given, declined=message, status=402)
        return (
            _redirect_to_success(session)
            if session["status"] == "complete"
            else _page(session, items, {})
        )

    @app.get("/receipts/<id>")
    def receipt(id: str) -> str:  # noqa: A002
        with store.reading() as tx:
            charge = tx.find("charge", id)
            if charge is None or charge["status"] == "failed":
                abort(404)
        made = datetime.fromtimestamp(charge["created"], UTC)
        return render_template("receipt.html", charge=charge, made=made)

    @app.get("/invoices/<id>")
    def invoice(id: str) -> str:  # noqa: A002
        with store.reading() as tx:
            found = tx.find("invoice", id)
            if found is None:
                abort(404)
        made = datetime.fromtimestamp(found["created"], UTC)
        return render_template("invoice.html", invoice=found, made=made)

    @app.errorhandler(NotFound)
    def missing(_error: NotFound) -> tuple[str, int]:
        return render_template("ended.html", session=None), 404

    set_up_pages(app)
    return app


def _page(
    session: StripeObject,
    items: list[StripeObject],
    given: Mapping[str, str],
    *,
    errors: Mapping[str, str] | None = None,
    declined: str = "",
    status: int = 200,
) -> Response:
    """Return the form of an open session, or the page of an ended one."""
    if session["status"] != "open":
        return _with_policy(
            render_template("ended.html", session=session, success=_success_url(session)), session
        )
    session, items = pricing.with_tax(session, items)
    page = render_template(
        "pay.html",
        session=session,
        items=items,
        given=given,
        errors=errors or {},
        declined=declined,
        verb=VERBS.get(session["submit_type"] or "", "Pay"),
        terms=_wants_terms(session),
        tax=pricing.TAX_PERCENT,
        method=given.get("method") or session["payment_method_types"][0],
        tests=TEST_NUMBERS,
    )
    return _with_policy(page, session, status)


def _with_policy(page: str, session: StripeObject, status: int = 200) -> Response:
    """Allow the form to redirect to the site: browsers apply form-action to redirects, too."""
    parts = urlsplit(session["success_url"])
    response = make_response(page, status)
    response.headers["Content-Security-Policy"] = f"{POLICY} {parts.scheme}://{parts.netloc}"
    return response


def _success_url(session: StripeObject) -> str:
    """Return the success URL with the session's id filled in.

    https://docs.stripe.com/payments/checkout/custom-success-page
    """
    address: str = session["success_url"]
    return address.replace("{CHECKOUT_SESSION_ID}", session["id"])


def _redirect_to_success(session: StripeObject) -> Response:
    return redirect(_success_url(session), 303)


def _with_links(text: str) -> Markup:
    """Return a custom text with its links; of Markdown it may have nothing else.

    https://docs.stripe.com/payments/checkout/customization/policies
    """
    link = r'<a href="\2" target="_blank" rel="noopener">\1</a>'
    return Markup(re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", link, str(escape(text))))  # noqa: S704


def _wants_terms(session: StripeObject) -> bool:
    return (session["consent_collection"] or {}).get("terms_of_service") == "required"


def _parse_form(form: Mapping[str, str], session: StripeObject) -> tuple[Buyer, Instrument | None]:
    """Return the buyer and the instrument. Raises InvalidFields for all invalid fields."""
    wrong: dict[str, str] = {}
    email = session["customer_email"] or form.get("email", "").strip()
    try:
        Email().parse(email, "email")
    except ApiError:
        wrong["email"] = "Enter an email address, like name@example.com"
    if _wants_terms(session) and not form.get("terms"):
        wrong["terms"] = "Agree to the terms to go on"
    tax_id = None
    if session["tax_id_collection"]["enabled"]:
        required = session["tax_id_collection"]["required"] == "if_supported"
        try:
            tax_id = tax_ids.parse(form.get("tax_id", ""), required=required)
        except InvalidFields as invalid:
            wrong.update(invalid.fields)
    instrument: Instrument | None = None
    name = form.get("name", "").strip()[:200]
    if session["amount_total"]:
        if not name:
            wrong["name"] = "Enter the name on the card or account"
        try:
            instrument = _instrument(form, session)
        except InvalidFields as invalid:
            wrong.update(invalid.fields)
    if wrong:
        raise InvalidFields({field: wrong[field] for field in FIELDS if field in wrong})
    return Buyer(email, name or None, _wants_terms(session), tax_id), instrument


def _instrument(form: Mapping[str, str], session: StripeObject) -> Instrument:
    methods = session["payment_method_types"]
    method = form.get("method") or methods[0]
    if method not in methods:
        raise InvalidFields({"method": "Choose how to pay"})
    if method == "sepa_debit":
        return cards.debit(form.get("iban", ""))
    now = int(datetime.now(UTC).timestamp())
    return cards.card(form.get("number", ""), form.get("expiry", ""), form.get("cvc", ""), now)
