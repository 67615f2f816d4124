"""The API: a call comes in, is checked, done once, and answered as Stripe would."""

import base64
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.http import http_date

from sandbox.stripe import ids, serialization
from sandbox.stripe.api import expansion, faults, idempotency, request_log, routes
from sandbox.stripe.api.faults import Fault
from sandbox.stripe.api.idempotency import Answer
from sandbox.stripe.api.routes import Call
from sandbox.stripe.errors import ApiError
from sandbox.stripe.objects import due_jobs
from sandbox.stripe.objects.events import API_VERSION
from sandbox.stripe.parameters import Raw, decode
from sandbox.stripe.store import Store, Transaction

METHODS: Final = ["GET", "POST", "DELETE", "PUT", "PATCH"]
FORM: Final = "application/x-www-form-urlencoded"
NO_KEY: Final = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, "
    "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
    "https://stripe.com/docs/api#authentication for details, or we can help at "
    "https://support.stripe.com/."
)
BUSY: Final = (
    "Request rate limit exceeded. Learn more about rate limits here "
    "https://stripe.com/docs/rate-limits."
)


@dataclass(frozen=True)
class Asked:
    """A call as it came in, and the fault that is to strike it."""

    id: str
    method: str
    path: str
    key: str
    fault: Fault | None

    def struck_by(self, *kinds: str) -> bool:
        return self.fault is not None and self.fault.kind in kinds


def create_api(store: Store) -> Flask:
    """Return the app that answers below /v1. Mounted there, it sees the rest of the path."""
    app = Flask(__name__, static_folder=None)
    desk = Desk(store)

    @app.route("/", defaults={"rest": ""}, methods=METHODS)
    @app.route("/<path:rest>", methods=METHODS)
    def call(rest: str) -> Response:  # noqa: ARG001 # the address is read with all its slashes
        return desk.answer(request.method, request.script_root + request.path)

    return app


class Desk:
    """Where calls are answered. It knows which keys are in use at this moment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_use: set[tuple[str, str]] = set()
        self._lock = Lock()

    def answer(self, method: str, path: str) -> Response:
        """Return the answer to the request at hand, or what a fault makes of it."""
        request.get_data()  # what stays unread keeps the connection from closing
        due_jobs.run_due(self._store)
        key, fault = request.headers.get("Idempotency-Key", ""), self._fault(method, path)
        asked = Asked(ids.new("req_", 14), method, path, key, fault)
        if fault is None or not fault.spoils:
            response = self._answer(asked)
            self._log(asked, response)
            return response
        done = self._answer(asked) if fault.after else None
        self._log(asked, None)
        return faults.spoiled(fault, done)

    def _answer(self, asked: Asked) -> Response:
        with self._store.reading() as tx:
            live, now, denied = tx.live, tx.now, tx.setting("denied", [])
            account_id = tx.setting("account", "")
        try:
            if asked.struck_by("429"):
                raise ApiError(BUSY, status=429, code="rate_limit")
            if asked.struck_by("500") and asked.fault and not asked.fault.after:
                raise _broken()
            account = _account(live)
            _check_version()
            call, named = _found(asked)
            given = _given()
            _permit(account, account_id, call, given, denied)
            if call.writes and asked.key:
                answer = self._write_once(asked, account, call, named, given)
            else:
                answer = self._carry_out(asked, call, named, given, None)
        except ApiError as api_error:
            answer = self._refused(asked, api_error)
        headers = _headers(asked, answer, now)
        if asked.struck_by("429") and asked.fault and asked.fault.seconds:
            headers["Retry-After"] = f"{asked.fault.seconds:.0f}"
        return Response(answer.body, answer.status, headers, mimetype="application/json")

    def _write_once(
        self, asked: Asked, account: str, call: Call, named: dict[str, str], given: dict[str, Raw]
    ) -> Answer:
        question = idempotency.question(account, asked.key, asked.method, asked.path, given)
        claim = (account, asked.key)
        with self._lock:
            if claim in self._in_use:
                raise idempotency.in_use(asked.key)
            self._in_use.add(claim)
        try:
            with self._store.reading() as tx:
                kept = idempotency.kept(tx, question)
            return kept or self._carry_out(asked, call, named, given, question)
        except ApiError as api_error:
            if api_error.saved:
                with self._store.writing() as tx:
                    idempotency.keep(tx, question, self._refused(asked, api_error))
            raise
        finally:
            with self._lock:
                self._in_use.discard(claim)

    def _carry_out(
        self,
        asked: Asked,
        call: Call,
        named: dict[str, str],
        given: dict[str, Raw],
        question: idempotency.Question | None,
    ) -> Answer:
        checked = call.parameters.parse(given) or {}
        if asked.struck_by("slow") and asked.fault:
            time.sleep(asked.fault.seconds)
        if not call.writes:
            with self._store.reading() as tx:
                return Answer(asked.id, 200, _json(_done(tx, call, named, checked)))
        with self._store.writing() as tx:
            tx.cause = {"id": asked.id, "idempotency_key": asked.key or None}
            answer = Answer(asked.id, 200, _json(_done(tx, call, named, checked)))
            if asked.struck_by("500"):
                answer = self._refused(asked, _broken())
            if question:  # in one commit with the work: a kill leaves both or neither
                idempotency.keep(tx, question, answer)
            return answer

    def _refused(self, asked: Asked, api_error: ApiError) -> Answer:
        body = api_error.body(request_log.address(self._store.url, asked.id))
        return Answer(asked.id, api_error.status, _json(body))

    def _fault(self, method: str, path: str) -> Fault | None:
        with self._store.reading() as tx:
            if not faults.expected(tx):
                return None
        with self._store.writing() as tx:
            return faults.strike(tx, method, path)

    def _log(self, asked: Asked, response: Response | None) -> None:
        notes = []
        if asked.fault:
            notes.append(
                f"{asked.fault.kind} {'after' if asked.fault.after else 'before'} the work"
            )
        if response is not None and "Idempotent-Replayed" in response.headers:
            notes.append("replayed")
        status = response.status_code if response is not None else None
        with self._store.writing() as tx:
            request_log.write(
                tx, asked.id, asked.method, asked.path, asked.key, status, ", ".join(notes)
            )


def _done(tx: Transaction, call: Call, named: dict[str, str], checked: dict[str, Any]) -> Any:
    obj = call.verb(tx, *named.values(), checked)
    return expansion.expand(tx, obj, checked.get("expand", []))


def _headers(asked: Asked, answer: Answer, now: int) -> dict[str, str]:
    """Return the headers of an answer (https://docs.stripe.com/api/request_ids)."""
    headers = {
        "Cache-Control": "no-cache, no-store",
        "Date": http_date(now),
        "Request-Id": asked.id,
        "Stripe-Version": request.headers.get("Stripe-Version", API_VERSION),
    }
    if asked.key and asked.method == "POST":
        headers["Idempotency-Key"] = asked.key
        headers["Original-Request"] = answer.request
    if answer.request != asked.id:
        headers["Idempotent-Replayed"] = "true"
        if answer.status >= 500:  # a retry would only be told the same
            headers["Stripe-Should-Retry"] = "false"
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Stripe"'
    return headers


def _found(asked: Asked) -> tuple[Call, dict[str, str]]:
    found = routes.find(asked.method, asked.path)
    if found is None:
        raise ApiError(
            f"Unrecognized request URL ({asked.method}: {asked.path}). If you are trying to list "
            "objects, remove the trailing slash. If you are trying to retrieve an object, make "
            "sure you passed a valid (non-empty) identifier in your code. Please see "
            "https://stripe.com/docs or we can help at https://support.stripe.com/.",
            status=404,
        )
    return found


def _given() -> dict[str, Raw]:
    if request.content_length and request.mimetype != FORM:
        raise ApiError(f"Invalid request (check that your POST content type is {FORM}).")
    sources = (request.args, request.form)
    return decode(pair for source in sources for pair in source.items(multi=True))


def _account(live: bool) -> str:
    """Return the key that the call came with. Raises Refusal for none, and for the other mode's.

    By Bearer, or by Basic as `curl -u` sends it (https://docs.stripe.com/api/authentication).
    """
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    value = value.strip()
    if kind.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[0]
        except ValueError:
            value = ""
    elif kind.lower() != "bearer":
        value = ""
    if not value:
        raise ApiError(NO_KEY, status=401)
    if not re.fullmatch(rf"(sk|rk)_{'live' if live else 'test'}_\w+", value):
        hidden = f"{value[:8]}{'*' * max(4, len(value) - 12)}{value[-4:]}"
        raise ApiError(f"Invalid API Key provided: {hidden}", status=401)
    return value


def _check_version() -> None:
    """Refuse an API version whose objects the sandbox does not have. None stands for the newest.

    https://docs.stripe.com/api/versioning
    """
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise ApiError(
            f"Invalid Stripe API version: {version}. The sandbox answers in {API_VERSION} alone."
        )


def _permit(
    key: str, account_id: str, call: Call, given: dict[str, Raw], denied: Sequence[str]
) -> None:
    """Raise Refusal when a restricted key lacks a right: for the call, or for what it expands."""
    needed = [call.right]
    if "payment_intent" in json.dumps(given.get("expand", "")):
        needed.append("rak_payment_intent_read")
    for right in needed:
        if key.startswith("rk_") and right in denied:
            raise ApiError(
                f"The provided key '{key[:8]}****{key[-4:]}' does not have the required "
                f"permissions for this endpoint on account '{account_id}'. Having the "
                f"'{right}' permission would allow this request to continue.",
                status=403,
            )


def _broken() -> ApiError:
    return ApiError("An unknown error occurred.", status=500, kind="api_error")


def _json(body: Any) -> str:
    return json.dumps(serialization.serialized(body), indent=2)
