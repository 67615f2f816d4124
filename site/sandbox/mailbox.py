"""The mailbox: shows the mail that the site would have sent, as its recipients would see it."""

import re
from pathlib import Path

from flask import Flask, Response, abort, make_response, render_template, request, send_file
from werkzeug.exceptions import NotFound

from sandbox import captured_mail
from sandbox.captured_mail import Email
from sandbox.page_setup import set_up_pages

PAGE_SIZE = 100

# The HTML of a mail may have styles and images but run nothing. Links open a new window, to which
# this policy does not apply.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
NO_HTML = "<!doctype html><title>No HTML part</title><p>This mail has no HTML part."


def create_mailbox(folder: Path) -> Flask:
    """Return the app that shows the .eml files of a folder. It only reads them."""
    app = Flask(__name__)

    def email_or_404(name: str) -> tuple[Path, Email]:
        path = captured_mail.find(folder, name)
        if path is None:
            abort(404)
        return path, captured_mail.read(path)

    @app.get("/")
    def index() -> str:
        emails, total = captured_mail.newest(folder, PAGE_SIZE)
        return render_template(
            "emails.html",
            emails=emails,
            total=total,
            folder=folder,
            still="still" in request.args,
        )

    @app.get("/<name>")
    def show(name: str) -> str:
        _, found = email_or_404(name)
        return render_template("email.html", email=found)

    @app.get("/<name>/html")
    def html(name: str) -> Response:
        _, found = email_or_404(name)
        response = make_response(_open_links_in_windows(found.html or NO_HTML))
        response.headers["Content-Security-Policy"] = MAIL_POLICY
        return response

    @app.get("/<name>/raw")
    def raw(name: str) -> Response:
        path, _ = email_or_404(name)
        return send_file(
            path.resolve(), mimetype="message/rfc822", as_attachment=True, download_name=name
        )

    @app.errorhandler(NotFound)
    def missing(_error: NotFound) -> tuple[str, int]:
        return render_template("missing.html"), 404

    set_up_pages(app)
    return app


def _open_links_in_windows(html: str) -> str:
    """Return the HTML with links that open a new window, as the site refuses to be framed.

    The base element goes after <head>, <html> or the doctype. In front of the doctype it would put
    the browser into quirks mode.
    """
    for start in (r"<head(?:\s[^>]*)?>", r"<html(?:\s[^>]*)?>", r"<!doctype[^>]*>"):
        if found := re.search(start, html, re.IGNORECASE):
            return html[: found.end()] + '<base target="_blank">' + html[found.end() :]
    return '<base target="_blank">' + html
