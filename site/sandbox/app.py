"""Stand-ins for the outside world in development, each in a room of its own.

They know files and addresses, never the code of the site: what they show is what left it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, render_template
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sandbox.mailbox import create_mailbox
from sandbox.page_setup import furnish
from sandbox.stripe.app import Stripe

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def create_sandbox(folder: Path, stripe: Stripe | None = None) -> "WSGIApplication":
    """Return the WSGI app of all rooms; `folder` is where the site leaves its captured mail."""
    rooms = stripe.rooms if stripe else {}
    entrance = Flask(__name__)

    @entrance.get("/")
    def index() -> str:
        return render_template("index.html", rooms=rooms)

    furnish(entrance)
    return DispatcherMiddleware(entrance, {"/mail": create_mailbox(folder), **rooms})
