"""The sandbox's web server: one process, reachable from this machine alone."""

import signal
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from sandbox.app import create_sandbox
from sandbox.stripe.app import Setup, Stripe

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def serve(folder: Path, port: int, stripe: Setup) -> None:
    """Serve the sandbox on 127.0.0.1 until told to stop. `folder` holds the captured mail."""
    house = Stripe(stripe)
    server = listen(folder, port, house)

    def stop(*_signal: object) -> None:
        Thread(target=server.shutdown).start()  # from within its own loop it would wait for itself

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.serve_forever()
    server.server_close()
    house.close()


def listen(folder: Path, port: int, stripe: Stripe) -> BaseWSGIServer:
    """Return a server that has begun to listen, with a thread for each connection.

    Injected faults hang and cut connections: that needs threads to spare, and the socket, which
    this server hands to the app.
    """
    app = _whole(create_sandbox(folder.resolve(), stripe))
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined] # of the threaded kind
    return server


def _whole(app: "WSGIApplication") -> "WSGIApplication":
    """Read answers whole before they are sent: who leaves early then leaves no file open."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        parts = app(environ, start_response)
        try:
            return [b"".join(parts)]
        finally:
            getattr(parts, "close", lambda: None)()

    return answer


class _Quiet(WSGIRequestHandler):
    """Keeps its calls to itself: the control page shows them. Leaves the date to the apps."""

    def send_response(self, code: int, message: str | None = None) -> None:
        self.send_response_only(code, message)  # the API's clock can be moved
        self.send_header("Server", self.version_string())

    def log_request(self, *_args: Any, **_more: Any) -> None:
        return
