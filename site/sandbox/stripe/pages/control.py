"""The control page: act as Stripe, the bank and the network, by hand or by JSON."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from flask import Flask, jsonify, redirect, render_template, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from sandbox.page_setup import set_up_pages
from sandbox.stripe import currencies
from sandbox.stripe.api import faults, request_log
from sandbox.stripe.errors import ApiError
from sandbox.stripe.objects import due_jobs
from sandbox.stripe.objects.checkout import payment_attempt, promotions, sessions
from sandbox.stripe.objects.payments import disputes, refunds
from sandbox.stripe.parameters import (
    Array,
    Boolean,
    Currency,
    Field,
    Integer,
    Parameters,
    Raw,
    Text,
    Url,
    decode,
    from_json,
)
from sandbox.stripe.store import Store, Transaction
from sandbox.stripe.webhooks import deliveries

PAGE_SIZE: Final = 50
POLICY: Final = (
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
ID: Final = Parameters({"id": Text()}, required=("id",))
NUMBER: Final = Text()  # of a delivery, or "waiting" for all pending ones


def _for_each_delivery(
    tx: Transaction, number: str, act: Callable[[Transaction, int], object]
) -> None:
    if number == "waiting":
        for one in deliveries.waiting(tx):
            act(tx, one["number"])
    else:
        act(tx, Integer(minimum=1).parse(number, "number"))


def _refund(tx: Transaction, given: dict[str, Any]) -> None:
    wanted = {"charge": given["id"]}
    refunds.create(tx, wanted | ({"amount": given["amount"]} if "amount" in given else {}))


def _advance(tx: Transaction, given: dict[str, Any]) -> None:
    tx.set("clock", float(tx.setting("clock", 0)) + given["seconds"])


def _deliver_to(tx: Transaction, given: dict[str, Any]) -> None:
    for name in ("endpoints", "secrets"):
        if name in given:
            tx.set(name, given[name])
    settings = {name: given[name] for name in ENDPOINT_SETTINGS if name in given}
    if settings:
        tx.set("endpoint_settings", tx.endpoint_settings | settings)


ENDPOINT_SETTINGS: Final[dict[str, Field]] = {
    "enabled_events": Array(Text()),
    "api_version": Text(),
    "enabled": Boolean(),
}
DELIVERY: Final = Parameters({"number": NUMBER}, required=("number",))
DELAY: Final = Parameters(
    {"number": NUMBER, "seconds": Integer(0, 10**8)}, required=("number", "seconds")
)
# Each action's parameters and function.
ACTIONS: Final[dict[str, tuple[Parameters, Callable[[Transaction, dict[str, Any]], object]]]] = {
    "code": (promotions.CREATE, promotions.create),
    "present": (
        Parameters(
            {"id": Text(), "currency": Currency(), "amount": Integer(1)},
            required=("id", "currency", "amount"),
        ),
        lambda tx, given: sessions.set_presentment(
            tx, given["id"], given["currency"], given["amount"]
        ),
    ),
    "expire": (ID, lambda tx, given: sessions.expire(tx, given["id"], {})),
    "settle": (ID, lambda tx, given: payment_attempt.settle(tx, given["id"], arrives=True)),
    "bounce": (ID, lambda tx, given: payment_attempt.settle(tx, given["id"], arrives=False)),
    "refund": (Parameters({"id": Text(), "amount": Integer(1)}, required=("id",)), _refund),
    "succeed_refund": (ID, lambda tx, given: refunds.succeed(tx, given["id"])),
    "fail_refund": (ID, lambda tx, given: refunds.fail(tx, given["id"])),
    "ask_refund": (ID, lambda tx, given: refunds.require_action(tx, given["id"])),
    "cancel_refund": (ID, lambda tx, given: refunds.cancel(tx, given["id"], {})),
    "dispute": (disputes.OPEN, disputes.open_dispute),
    "respond": (ID, lambda tx, given: disputes.respond(tx, given["id"])),
    "win": (ID, lambda tx, given: disputes.win(tx, given["id"])),
    "lose_dispute": (ID, lambda tx, given: disputes.lose(tx, given["id"])),
    "resend": (
        DELIVERY,
        lambda tx, given: _for_each_delivery(tx, given["number"], deliveries.resend),
    ),
    "lose": (DELIVERY, lambda tx, given: _for_each_delivery(tx, given["number"], deliveries.drop)),
    "duplicate": (
        DELIVERY,
        lambda tx, given: _for_each_delivery(tx, given["number"], deliveries.duplicate),
    ),
    "delay": (
        DELAY,
        lambda tx, given: _for_each_delivery(
            tx, given["number"], lambda b, number: deliveries.delay(b, number, given["seconds"])
        ),
    ),
    "reorder": (
        Parameters({"numbers": Array(Integer(1), maximum=10_000), "apart": Integer(0, 60_000)}),
        lambda tx, given: deliveries.reorder(
            tx, given.get("numbers", ()), given.get("apart", 200) / 1000
        ),
    ),
    "pause": (Parameters({}), lambda tx, _given: tx.set("paused", True)),
    "resume": (Parameters({}), lambda tx, _given: tx.set("paused", False)),
    "deliver_to": (
        Parameters({"endpoints": Array(Url()), "secrets": Array(Text()), **ENDPOINT_SETTINGS}),
        _deliver_to,
    ),
    "fault": (faults.CREATE, faults.add),
    "clear_faults": (Parameters({}), lambda tx, _given: faults.clear(tx)),
    "deny": (
        Parameters({"rights": Array(Text())}),
        lambda tx, given: tx.set("denied", given.get("rights", [])),
    ),
    "mode": (
        Parameters({"live": Boolean()}, required=("live",)),
        lambda tx, given: tx.set("live", given["live"]),
    ),
    "advance": (Parameters({"seconds": Integer(0, 10**8)}, required=("seconds",)), _advance),
}


def create_control(store: Store) -> Flask:
    """Return the app of the control page, mounted below /stripe.

    POST /stripe/api/<action> runs an action and returns the state; GET /stripe/api/state returns
    the state. The page's buttons post to /stripe/<action>. `release` ends the waits of calls in
    progress.
    """
    app = Flask(__name__)
    app.jinja_env.filters["money"] = currencies.formatted
    app.jinja_env.filters["moment"] = _time

    def state(shown: int) -> dict[str, Any]:
        due_jobs.run_due(store)
        with store.reading() as tx:
            return _state(tx, shown)

    def act(action: str) -> None:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise ApiError("Another site may not do this.", status=403)
        if action == "reset":
            store.reset()
            with store.writing() as tx:
                return promotions.create_defaults(tx)
        if action == "release":
            return store.release()
        if action not in ACTIONS:
            raise ApiError(f"There is no action {action}.", status=404)
        parameters, verb = ACTIONS[action]
        given = parameters.parse(_given()) or {}
        with store.writing() as tx:
            verb(tx, given)
        return due_jobs.run_due(store)

    @app.get("/")
    def show() -> Response:
        return _page(state(PAGE_SIZE))

    @app.post("/<action>")
    def do(action: str) -> Response:
        try:
            act(action)
        except ApiError as api_error:
            return _page(state(PAGE_SIZE), api_error.message, api_error.status)
        return redirect(f"{request.script_root}/", 303)

    @app.get("/api/state")
    def state_json() -> Response:
        return jsonify(state(request.args.get("limit", 1000, int)))

    @app.post("/api/<action>")
    def do_api(action: str) -> Response:
        act(action)
        return jsonify(state(1000))

    @app.errorhandler(ApiError)
    def refused(api_error: ApiError) -> tuple[Response, int]:
        return jsonify(
            {"error": {"message": api_error.message, "param": api_error.param}}
        ), api_error.status

    @app.errorhandler(NotFound)
    def missing(_error: NotFound) -> tuple[str, int]:
        return "Page not found. The control page is at /stripe/.", 404

    set_up_pages(app)
    return app


def _given() -> dict[str, Raw]:
    """Return the posted JSON or form; empty fields of a form are left out."""
    if request.is_json:
        found: dict[str, Raw] = from_json(request.get_json())
        return found
    return decode((name, value) for name, value in request.form.items(multi=True) if value != "")


def _page(state: Mapping[str, Any], error: str = "", status: int = 200) -> Response:
    page = render_template("control.html", state=state, error=error, kinds=faults.KINDS)
    response = Response(page, status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _state(tx: Transaction, shown: int) -> dict[str, Any]:
    kinds = {
        "sessions": "checkout.session",
        "payment_intents": "payment_intent",
        "charges": "charge",
        "refunds": "refund",
        "disputes": "dispute",
        "promotion_codes": "promotion_code",
        "events": "event",
    }
    rows = tx.db.execute("SELECT * FROM faults ORDER BY number").fetchall()
    return {
        **{name: tx.newest(kind, shown) for name, kind in kinds.items()},
        "deliveries": deliveries.newest(tx, shown),
        "calls": request_log.newest(tx, shown),
        "faults": [dict(row) for row in rows],
        "paused": tx.setting("paused", False),
        "endpoints": tx.setting("endpoints", []),
        "endpoint_settings": tx.endpoint_settings,
        "denied": tx.setting("denied", []),
        "live": tx.live,
        "clock": tx.setting("clock", 0),
        "now": tx.now,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%b %d, %H:%M:%S")
