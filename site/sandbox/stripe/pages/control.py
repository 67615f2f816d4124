"""The control page: play Stripe, the bank and the network, by hand or over JSON."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from flask import Flask, jsonify, redirect, render_template, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from sandbox.page_setup import furnish
from sandbox.stripe import currencies
from sandbox.stripe.api import faults, request_log
from sandbox.stripe.errors import Refusal
from sandbox.stripe.objects import due_jobs
from sandbox.stripe.objects.checkout import payment_attempt, promotions, sessions
from sandbox.stripe.objects.payments import disputes, refunds
from sandbox.stripe.parameters import (
    Array,
    Currency,
    Field,
    Flag,
    Integer,
    Raw,
    Shape,
    Text,
    Url,
    decode,
    from_json,
)
from sandbox.stripe.store import Books, Store
from sandbox.stripe.webhooks import deliveries

SHOWN: Final = 50
POLICY: Final = (
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
ID: Final = Shape({"id": Text()}, required=("id",))
NUMBER: Final = Text()  # of a delivery, or "waiting" for all that wait


def _each(books: Books, number: str, act: Callable[[Books, int], object]) -> None:
    if number == "waiting":
        for one in deliveries.waiting(books):
            act(books, one["number"])
    else:
        act(books, Integer(least=1).read(number, "number"))


def _refund(books: Books, given: dict[str, Any]) -> None:
    wanted = {"charge": given["id"]}
    refunds.create(books, wanted | ({"amount": given["amount"]} if "amount" in given else {}))


def _advance(books: Books, given: dict[str, Any]) -> None:
    books.set("clock", float(books.setting("clock", 0)) + given["seconds"])


def _deliver_to(books: Books, given: dict[str, Any]) -> None:
    for name in ("endpoints", "secrets"):
        if name in given:
            books.set(name, given[name])
    heard = {name: given[name] for name in HEARS if name in given}
    if heard:
        books.set("hears", books.hears | heard)


HEARS: Final[dict[str, Field]] = {
    "enabled_events": Array(Text()),
    "api_version": Text(),
    "enabled": Flag(),
}
DELIVERY: Final = Shape({"number": NUMBER}, required=("number",))
DELAY: Final = Shape(
    {"number": NUMBER, "seconds": Integer(0, 10**8)}, required=("number", "seconds")
)
# What can be done: the parameters each takes, and who does it.
ACTIONS: Final[dict[str, tuple[Shape, Callable[[Books, dict[str, Any]], object]]]] = {
    "code": (promotions.NEW, promotions.create),
    "present": (
        Shape(
            {"id": Text(), "currency": Currency(), "amount": Integer(1)},
            required=("id", "currency", "amount"),
        ),
        lambda books, given: sessions.present(
            books, given["id"], given["currency"], given["amount"]
        ),
    ),
    "expire": (ID, lambda books, given: sessions.expire(books, given["id"], {})),
    "settle": (ID, lambda books, given: payment_attempt.settle(books, given["id"], arrives=True)),
    "bounce": (ID, lambda books, given: payment_attempt.settle(books, given["id"], arrives=False)),
    "refund": (Shape({"id": Text(), "amount": Integer(1)}, required=("id",)), _refund),
    "succeed_refund": (ID, lambda books, given: refunds.succeed(books, given["id"])),
    "fail_refund": (ID, lambda books, given: refunds.fail(books, given["id"])),
    "ask_refund": (ID, lambda books, given: refunds.ask(books, given["id"])),
    "cancel_refund": (ID, lambda books, given: refunds.cancel(books, given["id"], {})),
    "dispute": (disputes.OPEN, disputes.open_one),
    "respond": (ID, lambda books, given: disputes.respond(books, given["id"])),
    "win": (ID, lambda books, given: disputes.win(books, given["id"])),
    "lose_dispute": (ID, lambda books, given: disputes.lose(books, given["id"])),
    "resend": (DELIVERY, lambda books, given: _each(books, given["number"], deliveries.resend)),
    "lose": (DELIVERY, lambda books, given: _each(books, given["number"], deliveries.lose)),
    "duplicate": (
        DELIVERY,
        lambda books, given: _each(books, given["number"], deliveries.duplicate),
    ),
    "delay": (
        DELAY,
        lambda books, given: _each(
            books, given["number"], lambda b, number: deliveries.delay(b, number, given["seconds"])
        ),
    ),
    "reorder": (
        Shape({"numbers": Array(Integer(1), most=10_000), "apart": Integer(0, 60_000)}),
        lambda books, given: deliveries.reorder(
            books, given.get("numbers", ()), given.get("apart", 200) / 1000
        ),
    ),
    "pause": (Shape({}), lambda books, _given: books.set("paused", True)),
    "resume": (Shape({}), lambda books, _given: books.set("paused", False)),
    "deliver_to": (
        Shape({"endpoints": Array(Url()), "secrets": Array(Text()), **HEARS}),
        _deliver_to,
    ),
    "fault": (faults.NEW, faults.add),
    "clear_faults": (Shape({}), lambda books, _given: faults.clear(books)),
    "deny": (
        Shape({"rights": Array(Text())}),
        lambda books, given: books.set("denied", given.get("rights", [])),
    ),
    "mode": (
        Shape({"live": Flag()}, required=("live",)),
        lambda books, given: books.set("live", given["live"]),
    ),
    "advance": (Shape({"seconds": Integer(0, 10**8)}, required=("seconds",)), _advance),
}


def create_control(store: Store) -> Flask:
    """Return the app of the control page, mounted below /stripe.

    POST /stripe/api/<action> does something and answers with the state, GET /stripe/api/state
    tells the state alone. The page's buttons post to /stripe/<action>.
    """
    app = Flask(__name__)
    app.jinja_env.filters["money"] = currencies.shown
    app.jinja_env.filters["moment"] = _moment

    def state(shown: int) -> dict[str, Any]:
        due_jobs.catch_up(store)
        with store.reading() as books:
            return _state(books, shown)

    def act(action: str) -> None:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refusal("Another site may not do this.", status=403)
        if action == "reset":
            store.reset()
            with store.writing() as books:
                return promotions.stock(books)
        if action not in ACTIONS:
            raise Refusal(f"There is no action {action}.", status=404)
        shape, verb = ACTIONS[action]
        given = shape.read(_given()) or {}
        with store.writing() as books:
            verb(books, given)
        return due_jobs.catch_up(store)

    @app.get("/")
    def show() -> Response:
        return _page(state(SHOWN))

    @app.post("/<action>")
    def do(action: str) -> Response:
        try:
            act(action)
        except Refusal as refusal:
            return _page(state(SHOWN), refusal.message, refusal.status)
        return redirect(f"{request.script_root}/", 303)

    @app.get("/api/state")
    def tell() -> Response:
        return jsonify(state(request.args.get("limit", 1000, int)))

    @app.post("/api/<action>")
    def do_api(action: str) -> Response:
        act(action)
        return jsonify(state(1000))

    @app.errorhandler(Refusal)
    def refused(refusal: Refusal) -> tuple[Response, int]:
        return jsonify(
            {"error": {"message": refusal.message, "param": refusal.param}}
        ), refusal.status

    @app.errorhandler(NotFound)
    def missing(_error: NotFound) -> tuple[str, int]:
        return "There is no such page. The control page is at /stripe/.", 404

    furnish(app)
    return app


def _given() -> dict[str, Raw]:
    """Return what was posted, as JSON or as a form; a field left empty on the page is not there."""
    if request.is_json:
        found: dict[str, Raw] = from_json(request.get_json())
        return found
    return decode((name, value) for name, value in request.form.items(multi=True) if value != "")


def _page(state: Mapping[str, Any], error: str = "", status: int = 200) -> Response:
    page = render_template("control.html", state=state, error=error, kinds=faults.KINDS)
    response = Response(page, status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _state(books: Books, shown: int) -> dict[str, Any]:
    kinds = {
        "sessions": "checkout.session",
        "payment_intents": "payment_intent",
        "charges": "charge",
        "refunds": "refund",
        "disputes": "dispute",
        "promotion_codes": "promotion_code",
        "events": "event",
    }
    rows = books.db.execute("SELECT * FROM faults ORDER BY number").fetchall()
    return {
        **{name: books.newest(kind, shown) for name, kind in kinds.items()},
        "deliveries": deliveries.newest(books, shown),
        "calls": request_log.newest(books, shown),
        "faults": [dict(row) for row in rows],
        "paused": books.setting("paused", False),
        "endpoints": books.setting("endpoints", []),
        "hears": books.hears,
        "denied": books.setting("denied", []),
        "live": books.live,
        "clock": books.setting("clock", 0),
        "now": books.now,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%b %d, %H:%M:%S")
