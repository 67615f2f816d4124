"""The sandbox as one WSGI app: the mailbox and, if there is one, the Stripe sandbox.

It knows files and addresses, never the site's code, so it shows what the site really sent.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, render_template
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sandbox.mailbox import create_mailbox
from sandbox.page_setup import set_up_pages
from sandbox.stripe.app import StripeSandbox

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def create_sandbox(folder: Path, stripe: StripeSandbox | None = None) -> "WSGIApplication":
    """Return the WSGI app of the sandbox; `folder` is where the site writes its captured mail."""
    apps = stripe.apps if stripe else {}
    start_page = Flask(__name__)

    @start_page.get("/")
    def index() -> str:
        return render_template("index.html", apps=apps)

    set_up_pages(start_page)
    return DispatcherMiddleware(start_page, {"/mail": create_mailbox(folder), **apps})
