"""Page setup: the style, font and security headers that all pages of the sandbox share."""

from pathlib import Path

from flask import Flask, Response, abort, send_file

POLICY = (
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STYLE = Path(__file__).parent / "static" / "style.css"
FONT = Path(__file__).parents[1] / "static" / "fonts" / "familjen-grotesk.woff2"


def set_up_pages(app: Flask) -> None:
    """Add to an app what all pages of the sandbox share: style, font and security headers."""

    @app.get("/style.css")
    def style() -> Response:
        return send_file(STYLE, max_age=0)

    @app.get("/font.woff2")
    def font() -> Response:
        if not FONT.is_file():  # without the site's files the browser uses a system font
            abort(404)
        return send_file(FONT, mimetype="font/woff2", max_age=3600)

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        if response.mimetype in ("text/html", "message/rfc822"):
            response.headers["Cache-Control"] = "no-store"
        return response
