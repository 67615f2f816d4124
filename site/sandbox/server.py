"""The sandbox's web server: one process, reachable from this machine alone."""

import signal
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from sandbox.app import create_sandbox
from sandbox.stripe.app import StripeSandbox, StripeSetup

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def serve(folder: Path, port: int, stripe: StripeSetup) -> None:
    """Serve the sandbox on 127.0.0.1 until told to stop. `folder` holds the captured mail."""
    stripe_sandbox = StripeSandbox(stripe)
    server = listen(folder, port, stripe_sandbox)

    def stop(*_signal: object) -> None:
        Thread(target=server.shutdown).start()  # in this thread it would wait for itself

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.serve_forever()
    server.server_close()
    stripe_sandbox.close()


def listen(folder: Path, port: int, stripe: StripeSandbox) -> BaseWSGIServer:
    """Return a server that listens, with one thread for each connection.

    Injected faults hang or cut connections: they need a thread each, and the socket, which this
    server passes to the app.
    """
    app = _read_whole(create_sandbox(folder.resolve(), stripe))
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_QuietHandler)
    server.daemon_threads = True  # type: ignore[attr-defined] # of the threaded kind
    return server


def _read_whole(app: "WSGIApplication") -> "WSGIApplication":
    """Read responses completely before sending: a client that hangs up leaves no open file."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        parts = app(environ, start_response)
        try:
            return [b"".join(parts)]
        finally:
            getattr(parts, "close", lambda: None)()

    return answer


class _QuietHandler(WSGIRequestHandler):
    """Logs no request, as the control page lists them; sends no Date header, as the apps do."""

    def send_response(self, code: int, message: str | None = None) -> None:
        self.send_response_only(code, message)  # the API's clock can be moved
        self.send_header("Server", self.version_string())

    def log_request(self, *_args: Any, **_more: Any) -> None:
        return
