"""The API's WSGI app: authenticates, validates, executes and logs calls."""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.http import http_date

from sandbox.stripe import ids, serialization
from sandbox.stripe.api import expansion, faults, idempotency, request_log, routes
from sandbox.stripe.api.faults import Fault
from sandbox.stripe.api.idempotency import SavedAnswer
from sandbox.stripe.api.routes import Route
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
RATE_LIMITED: Final = (
    "Request rate limit exceeded. Learn more about rate limits here "
    "https://stripe.com/docs/rate-limits."
)


@dataclass(frozen=True)
class ApiCall:
    """An API call, and the fault that is injected into it."""

    id: str
    method: str
    path: str
    key: str
    fault: Fault | None
    released: Event  # ends its waits

    def has_fault(self, *kinds: str) -> bool:
        return self.fault is not None and self.fault.kind in kinds


def create_api(store: Store) -> Flask:
    """Return the app that is mounted below /v1."""
    app = Flask(__name__, static_folder=None)
    handler = ApiHandler(store)

    @app.route("/", defaults={"rest": ""}, methods=METHODS)
    @app.route("/<path:rest>", methods=METHODS)
    def route(rest: str) -> Response:  # noqa: ARG001 # `request.path` keeps double slashes
        return handler.answer(request.method, request.script_root + request.path)

    return app


class ApiHandler:
    """Answers API calls; knows which idempotency keys are in use."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_use: set[tuple[str, str]] = set()
        self._lock = Lock()

    def answer(self, method: str, path: str) -> Response:
        """Return the answer to the current request, or what a fault replaces it with."""
        request.get_data()  # an unread body would keep the connection open
        due_jobs.run_due(self._store)
        released = self._store.released  # before the fault is counted: a release may follow that
        key, fault = request.headers.get("Idempotency-Key", ""), self._fault(method, path)
        call = ApiCall(ids.new("req_", 14), method, path, key, fault, released)
        if fault is None or not fault.replaces_answer:
            response = self._answer(call)
            self._log(call, response)
            return response
        done = self._answer(call) if fault.after else None
        self._log(call, None)
        return faults.broken_answer(fault, done, released)

    def _answer(self, call: ApiCall) -> Response:
        with self._store.reading() as tx:
            live, now, denied = tx.live, tx.now, tx.setting("denied", [])
            account_id = tx.setting("account", "")
        try:
            if call.has_fault("429"):
                raise ApiError(RATE_LIMITED, status=429, code="rate_limit")
            if call.has_fault("500") and call.fault and not call.fault.after:
                raise _server_error()
            api_key = _api_key(live)
            _check_version()
            route, path_values = _find_route(call)
            given = _decoded()
            _check_permission(api_key, account_id, route, given, denied)
            if route.writes and call.key:
                answer = self._execute_once(call, api_key, route, path_values, given)
            else:
                answer = self._execute(call, route, path_values, given, None)
        except ApiError as api_error:
            answer = self._refused(call, api_error)
        headers = _headers(call, answer, now)
        if call.has_fault("429") and call.fault and call.fault.seconds:
            headers["Retry-After"] = f"{call.fault.seconds:.0f}"
        return Response(answer.body, answer.status, headers, mimetype="application/json")

    def _execute_once(
        self,
        call: ApiCall,
        api_key: str,
        route: Route,
        path_values: dict[str, str],
        given: dict[str, Raw],
    ) -> SavedAnswer:
        idempotent = idempotency.idempotent_request(
            api_key, call.key, call.method, call.path, given
        )
        claim = (api_key, call.key)
        with self._lock:
            if claim in self._in_use:
                raise idempotency.key_in_use(call.key)
            self._in_use.add(claim)
        try:
            with self._store.reading() as tx:
                saved = idempotency.saved_answer(tx, idempotent)
            return saved or self._execute(call, route, path_values, given, idempotent)
        except ApiError as api_error:
            if api_error.saved:
                with self._store.writing() as tx:
                    idempotency.save(tx, idempotent, self._refused(call, api_error))
            raise
        finally:
            with self._lock:
                self._in_use.discard(claim)

    def _execute(
        self,
        call: ApiCall,
        route: Route,
        path_values: dict[str, str],
        given: dict[str, Raw],
        idempotent: idempotency.IdempotentRequest | None,
    ) -> SavedAnswer:
        checked = route.parameters.parse(given) or {}
        if call.has_fault("slow") and call.fault:
            call.released.wait(call.fault.seconds)
        if not route.writes:
            with self._store.reading() as tx:
                return SavedAnswer(call.id, 200, _json(_run(tx, route, path_values, checked)))
        with self._store.writing() as tx:
            tx.cause = {"id": call.id, "idempotency_key": call.key or None}
            answer = SavedAnswer(call.id, 200, _json(_run(tx, route, path_values, checked)))
            if call.has_fault("500"):
                answer = self._refused(call, _server_error())
            if idempotent:  # in the same commit: a kill leaves both or neither
                idempotency.save(tx, idempotent, answer)
            return answer

    def _refused(self, call: ApiCall, api_error: ApiError) -> SavedAnswer:
        body = api_error.body(request_log.url_of(self._store.url, call.id))
        return SavedAnswer(call.id, api_error.status, _json(body))

    def _fault(self, method: str, path: str) -> Fault | None:
        with self._store.reading() as tx:
            if not faults.any_left(tx):
                return None
        with self._store.writing() as tx:
            return faults.take(tx, method, path)

    def _log(self, call: ApiCall, response: Response | None) -> None:
        notes = []
        if call.fault:
            notes.append(f"{call.fault.kind} {'after' if call.fault.after else 'before'} the work")
        if response is not None and "Idempotent-Replayed" in response.headers:
            notes.append("replayed")
        status = response.status_code if response is not None else None
        with self._store.writing() as tx:
            request_log.add(tx, call.id, call.method, call.path, call.key, status, ", ".join(notes))


def _run(
    tx: Transaction, route: Route, path_values: dict[str, str], checked: dict[str, Any]
) -> Any:
    obj = route.handler(tx, *path_values.values(), checked)
    return expansion.expand(tx, obj, checked.get("expand", []))


def _headers(call: ApiCall, answer: SavedAnswer, now: int) -> dict[str, str]:
    """Return the headers of an answer (https://docs.stripe.com/api/request_ids)."""
    headers = {
        "Cache-Control": "no-cache, no-store",
        "Date": http_date(now),
        "Request-Id": call.id,
        "Stripe-Version": request.headers.get("Stripe-Version", API_VERSION),
    }
    if call.key and call.method == "POST":
        headers["Idempotency-Key"] = call.key
        headers["Original-Request"] = answer.request
    if answer.request != call.id:
        headers["Idempotent-Replayed"] = "true"
        if answer.status >= 500:  # a retry gets the same answer
            headers["Stripe-Should-Retry"] = "false"
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Stripe"'
    return headers


def _find_route(call: ApiCall) -> tuple[Route, dict[str, str]]:
    found = routes.find(call.method, call.path)
    if found is None:
        raise ApiError(
            f"Unrecognized request URL ({call.method}: {call.path}). If you are trying to list "
            "objects, remove the trailing slash. If you are trying to retrieve an object, make "
            "sure you passed a valid (non-empty) identifier in your code. Please see "
            "https://stripe.com/docs or we can help at https://support.stripe.com/.",
            status=404,
        )
    return found


def _decoded() -> dict[str, Raw]:
    if request.content_length and request.mimetype != FORM:
        raise ApiError(f"Invalid request (check that your POST content type is {FORM}).")
    sources = (request.args, request.form)
    return decode(pair for source in sources for pair in source.items(multi=True))


def _api_key(live: bool) -> str:
    """Return the API key of the call. Raises ApiError for none, and for one of the other mode.

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
    """Raise ApiError for an API version other than the sandbox's; without one, that is used.

    https://docs.stripe.com/api/versioning
    """
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise ApiError(
            f"Invalid Stripe API version: {version}. The sandbox answers in {API_VERSION} alone."
        )


def _check_permission(
    key: str, account_id: str, route: Route, given: dict[str, Raw], denied: Sequence[str]
) -> None:
    """Raise ApiError when a restricted key lacks a permission for the call or its expansions."""
    needed = [route.permission]
    if "payment_intent" in json.dumps(given.get("expand", "")):
        needed.append("rak_payment_intent_read")
    for permission in needed:
        if key.startswith("rk_") and permission in denied:
            raise ApiError(
                f"The provided key '{key[:8]}****{key[-4:]}' does not have the required "
                f"permissions for this endpoint on account '{account_id}'. Having the "
                f"'{permission}' permission would allow this request to continue.",
                status=403,
            )


def _server_error() -> ApiError:
    return ApiError("An unknown error occurred.", status=500, kind="api_error")


def _json(body: Any) -> str:
    return json.dumps(serialization.serialized(body), indent=2)
