"""Injected faults: ways in which API calls fail on the network or at Stripe."""

import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any, Final, Literal

from flask import Response, request

from sandbox.stripe.parameters import Boolean, Choice, Integer, Parameters, Text
from sandbox.stripe.store import Transaction

Kind = Literal[
    "timeout", "reset", "slow", "trickle", "429", "500", "html", "truncated", "garbage", "wrong"
]  # fmt: skip
KINDS: Final[dict[str, str]] = {
    "timeout": "no answer for the given seconds, then the connection closes",
    "reset": "the connection is reset",
    "slow": "the real answer after the given seconds; its key is in use until then",
    "trickle": "the answer byte by byte, evenly over the given seconds",
    "429": "too many requests, before the work; seconds become a Retry-After",
    "500": "a server error; after the work it is saved under the key",
    "html": "a page of HTML with status 502",
    "truncated": "half an answer",
    "garbage": "status 200 and bytes that are not UTF-8",
    "wrong": "status 200 and an object of another type",
}
HALF_ANSWER: Final = b'{"id": "cs_test_half", "object": "checkout.sess'
CREATE: Final = Parameters(
    {
        "kind": Choice(tuple(KINDS)),
        "method": Choice(("ANY", "GET", "POST")),
        "path": Text(),
        "times": Integer(minimum=1, maximum=100_000),
        "seconds": Integer(minimum=0, maximum=600),
        "milliseconds": Integer(minimum=0, maximum=999),
        "after": Boolean(),
    },
    required=("kind",),
)


@dataclass(frozen=True)
class Fault:
    """A fault for one call; with `after` it fails after the work is done."""

    kind: Kind
    seconds: float
    after: bool

    @property
    def replaces_answer(self) -> bool:
        """Tell whether it replaces the answer on the network, after or without the work."""
        return self.kind not in ("slow", "429", "500")


def add(tx: Transaction, given: dict[str, Any]) -> None:
    """Let the next calls fail: by default one call, of any method and path.

    The path may contain `*` as a wildcard: `/v1/checkout/sessions*`.
    """
    tx.db.execute(
        "INSERT INTO faults (method, path, kind, seconds, after, times) VALUES (?, ?, ?, ?, ?, ?)",
        (
            given.get("method", "ANY"),
            given.get("path", "*"),
            given["kind"],
            given.get("seconds", 30 if given["kind"] in ("timeout", "trickle") else 0)
            + given.get("milliseconds", 0) / 1000,
            given.get("after", False),
            given.get("times", 1),
        ),
    )


def clear(tx: Transaction) -> None:
    """Remove all faults."""
    tx.db.execute("DELETE FROM faults")


def take(tx: Transaction, method: str, path: str) -> Fault | None:
    """Return the oldest fault that matches a call, and count one use."""
    row = tx.db.execute(
        "SELECT * FROM faults WHERE method IN ('ANY', ?) AND ? GLOB path ORDER BY number LIMIT 1",
        (method, path),
    ).fetchone()
    if row is None:
        return None
    tx.db.execute("UPDATE faults SET times = times - 1 WHERE number = ?", (row["number"],))
    tx.db.execute("DELETE FROM faults WHERE times <= 0")
    return Fault(row["kind"], row["seconds"], bool(row["after"]))


def any_left(tx: Transaction) -> bool:
    """Tell whether there are faults."""
    return tx.db.execute("SELECT 1 FROM faults LIMIT 1").fetchone() is not None


def broken_answer(fault: Fault, good: Response | None, released: Event) -> Response:
    """Return what the client gets. `good` is the real answer, None when there was no work.

    Waits end early when `released` is set.
    """
    if fault.kind in ("timeout", "reset"):
        released.wait(fault.seconds)
        return _close_connection(reset=fault.kind == "reset")
    if fault.kind == "trickle":
        _send_slowly(good.get_data() if good else HALF_ANSWER, fault.seconds, released)
        return _close_connection(reset=False)
    if fault.kind == "html":
        page = "<html><head><title>502 Bad Gateway</title></head><body>502</body></html>"
        return Response(page, 502, mimetype="text/html")
    if fault.kind == "garbage":
        return Response(b'{"id": "\xff\xfe\x80"}', 200, mimetype="application/json")
    if fault.kind == "wrong":
        other = '{"id": "cus_sandbox", "object": "customer", "livemode": false}'
        return Response(other, 200, mimetype="application/json")
    body = good.get_data() if good else HALF_ANSWER
    half = Response(body[: len(body) // 2], 200, mimetype="application/json")
    half.headers["Content-Length"] = str(len(body))
    return half


def _send_slowly(body: bytes, seconds: float, released: Event) -> None:
    """Send an answer with a pause before each byte of its body, until the client hangs up.

    After `released` is set, the rest is sent without pauses.
    """
    connection: socket.socket = request.environ["werkzeug.socket"]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with suppress(OSError):  # the client may hang up
        connection.sendall(f"{head}\r\n\r\n".encode())
        for byte in body:
            released.wait(seconds / len(body))
            connection.sendall(bytes([byte]))


def _close_connection(*, reset: bool) -> Response:
    """Close the connection, which only the sandbox's own server provides."""
    connection: socket.socket = request.environ["werkzeug.socket"]
    if reset:  # close with a reset: SO_LINGER in socket(7)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):  # the client may have closed it already
        connection.shutdown(socket.SHUT_RDWR)
    return Response(status=500)
