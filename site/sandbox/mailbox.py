"""The mailbox: shows the mail that the site would have sent, as its receivers would see it."""

import re
from pathlib import Path

from flask import Flask, Response, abort, make_response, render_template, request, send_file
from werkzeug.exceptions import NotFound

from sandbox import captured_mail
from sandbox.captured_mail import Letter
from sandbox.page_setup import furnish

SHOWN = 100

# What a mail brings along may look like something, but do nothing: links open a new window,
# which then is a window like any other.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
NO_HTML = "<!doctype html><title>No HTML part</title><p>This mail has no HTML part."


def create_mailbox(folder: Path) -> Flask:
    """Return the app that shows the .eml files of a folder. It only ever reads them."""
    app = Flask(__name__)

    def letter_or_404(name: str) -> tuple[Path, Letter]:
        path = captured_mail.find(folder, name)
        if path is None:
            abort(404)
        return path, captured_mail.read(path)

    @app.get("/")
    def index() -> str:
        letters, total = captured_mail.newest(folder, SHOWN)
        return render_template(
            "letters.html",
            letters=letters,
            total=total,
            folder=folder,
            still="still" in request.args,
        )

    @app.get("/<name>")
    def show(name: str) -> str:
        _, found = letter_or_404(name)
        return render_template("letter.html", letter=found)

    @app.get("/<name>/html")
    def html(name: str) -> Response:
        _, found = letter_or_404(name)
        response = make_response(_opening_windows(found.html or NO_HTML))
        response.headers["Content-Security-Policy"] = MAIL_POLICY
        return response

    @app.get("/<name>/raw")
    def raw(name: str) -> Response:
        path, _ = letter_or_404(name)
        return send_file(
            path.resolve(), mimetype="message/rfc822", as_attachment=True, download_name=name
        )

    @app.errorhandler(NotFound)
    def missing(_error: NotFound) -> tuple[str, int]:
        return render_template("missing.html"), 404

    furnish(app)
    return app


def _opening_windows(html: str) -> str:
    """Return the page with its links opening windows: inside the frame the site refuses to show.

    The element goes after the head's start tag, or the html's, or the document type; before
    that it would put the browser into quirks mode.
    """
    for start in (r"<head(?:\s[^>]*)?>", r"<html(?:\s[^>]*)?>", r"<!doctype[^>]*>"):
        if found := re.search(start, html, re.IGNORECASE):
            return html[: found.end()] + '<base target="_blank">' + html[found.end() :]
    return '<base target="_blank">' + html
