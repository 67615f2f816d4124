"""A running sandbox, and a webhook endpoint that stores its requests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

import stripe
from stripe import HTTPClient, RequestsClient, StripeClient

from sandbox.server import listen
from sandbox.stripe.app import StripeSandbox, StripeSetup
from tests.support.paths import ROOT
from tests.support.ports import free_port

KEY = "sk_test_sandbox"
SECRET = "whsec_sandbox"
START_SECONDS = 30  # on a busy machine
WAIT_SECONDS = 15

stripe.enable_telemetry = False  # it would write into the home folder
HTTPClient.INITIAL_DELAY = 0.02  # seconds before the SDK retries; the default is half a second


@dataclass
class Page:
    """The response to a request. `location` is its redirect, which is not followed."""

    status: int
    text: str
    headers: Message

    @property
    def location(self) -> str:
        return self.headers["Location"] or ""


@dataclass
class SandboxServer:
    """A sandbox at `url`, in a thread of the test or in a process of its own."""

    url: str
    setup: StripeSetup
    mail: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    stop: Callable[[], None] = lambda: None

    def client(self, key: str = KEY, **options: Any) -> StripeClient:
        """Return the SDK's client as the site uses it."""
        options.setdefault("http_client", RequestsClient(timeout=(3, 10)))
        return StripeClient(key, base_addresses={"api": self.url}, **options)

    def control(self, action: str, **values: Any) -> dict[str, Any]:
        """Run an action of the control page; return the state after it.

        Raises AssertionError when the sandbox refuses.
        """
        page = fetch(f"{self.url}/stripe/api/{action}", body=json.dumps(values).encode())
        assert page.status == 200, page.text
        state: dict[str, Any] = json.loads(page.text)
        return state

    def state(self) -> dict[str, Any]:
        """Return the state of the control page."""
        state: dict[str, Any] = json.loads(fetch(f"{self.url}/stripe/api/state").text)
        return state

    def pay(self, url: str, number: str = "4242424242424242", **fields: str) -> Page:
        """Pay on the payment page at `url` by card, or with `iban=` from a bank account."""
        form = {
            "email": "ada@example.com",
            "name": "Ada Lovelace",
            "method": "sepa_debit" if "iban" in fields else "card",
            "number": number,
            "expiry": "04/44",
            "cvc": "123",
            **fields,
        }
        return fetch(url, form=form)

    def kill(self) -> None:
        """Kill the process (kill -9)."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def start(
    folder: Path,
    webhook_url: str = "",
    secret: str = SECRET,
    *,
    port: int = 0,
    process: bool = False,
    retry_delays: tuple[float, ...] = (0.1, 0.2, 0.4),
    settle_seconds: float = 3600,
) -> SandboxServer:
    """Start a sandbox with its state in `folder`; end it with its `stop`.

    `secret` may hold several, comma-separated. A thread starts in milliseconds; a process can be
    killed. Deliveries are retried soon, and delayed payments wait for the control page.
    """
    port = port or free_port()
    setup = StripeSetup(
        folder=folder / "stripe",
        url=f"http://127.0.0.1:{port}",
        endpoints=(webhook_url,) if webhook_url else (),
        secrets=tuple(secret.split(",")),
        retry_delays=retry_delays,
        settle_seconds=settle_seconds,
    )
    server = SandboxServer(setup.url, setup, folder / "mail", port)
    return _as_process(server) if process else _as_thread(server)


def _as_thread(server: SandboxServer) -> SandboxServer:
    stripe_sandbox = StripeSandbox(server.setup)
    listener = listen(server.mail, server.port, stripe_sandbox)
    thread = Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()

    def stop() -> None:
        listener.shutdown()
        thread.join()
        listener.server_close()
        stripe_sandbox.close()

    server.stop = stop
    return server


def _as_process(server: SandboxServer) -> SandboxServer:
    setup = repr(server.setup).replace("PosixPath", "Path")
    code = (
        "from pathlib import Path; from sandbox.server import serve; from sandbox.stripe.app "
        f"import StripeSetup; serve(Path({str(server.mail)!r}), {server.port}, {setup})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "site")},
        stdin=subprocess.DEVNULL,
    )
    server.process = process

    def stop() -> None:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)

    server.stop = stop
    eventually(lambda: _answers(server.url) or process.poll() is not None, START_SECONDS)
    assert process.poll() is None
    return server


def _answers(url: str) -> bool:
    try:
        return fetch(f"{url}/stripe/api/state").status == 200
    except OSError:
        return False


@dataclass
class Received:
    """One webhook request."""

    body: bytes
    signature: str
    headers: Message

    @property
    def type(self) -> str:
        kind: str = json.loads(self.body)["type"]
        return kind

    @property
    def id(self) -> str:
        found: str = json.loads(self.body)["id"]
        return found


@dataclass
class Endpoint:
    """A webhook endpoint. Answers with the next of `replies` (status codes), with 200 after them.

    It answers only while `answering` is set.
    """

    replies: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    answering: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.answering.set()

    def start(self) -> "Endpoint":
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                signature = self.headers["Stripe-Signature"] or ""
                endpoint.received.append(Received(body, signature, self.headers))
                endpoint.answering.wait(60)
                status = endpoint.replies.pop(0) if endpoint.replies else 200
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", endpoint.url)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self.answering.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/webhooks/stripe"

    def types(self) -> list[str]:
        return [one.type for one in list(self.received)]

    def wait_for(self, kind: str, times: int = 1) -> Received:
        """Wait for `times` webhooks of a type; return the newest."""
        eventually(lambda: self.types().count(kind) >= times)
        return [one for one in self.received if one.type == kind][-1]


def eventually(true: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Wait until a condition is true. Raises AssertionError after `seconds`."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def fetch(
    url: str,
    *,
    form: dict[str, str] | None = None,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    method: str | None = None,
) -> Page:
    """Send a request, a POST with a form or body; follow no redirect."""
    given = dict(headers or {})
    if form is not None:
        body = urlencode(form).encode()
    elif body is not None:
        given.setdefault("Content-Type", "application/json")
    request = Request(url, data=body, headers=given, method=method)
    try:
        with build_opener(_Stay).open(request, timeout=WAIT_SECONDS) as answer:
            return Page(answer.status, answer.read().decode(), answer.headers)
    except HTTPError as error:
        with error:
            return Page(error.code, error.read().decode(), error.headers)


def session_params(**changes: Any) -> Any:
    """Return parameters for a session that sells one seat for 1,250.00 USD; None leaves one out."""
    params: dict[str, Any] = {
        "mode": "payment",
        "success_url": "http://127.0.0.1:9/orders/token?s={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:9/orders/token",
        "client_reference_id": "order-token",
        "line_items": [line_item()],
        **changes,
    }
    return {name: value for name, value in params.items() if value is not None}


def line_item(
    amount: int = 125_000, currency: str = "usd", quantity: int = 1, name: str = "One seat"
) -> dict[str, Any]:
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": name}}
    return {"price_data": price, "quantity": quantity}
