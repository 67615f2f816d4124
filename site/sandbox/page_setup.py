"""Page setup: the style, font and security headers that all pages of the sandbox share."""

from pathlib import Path

from flask import Flask, Response, abort, send_file

POLICY = (
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
LOOK = Path(__file__).parent / "static" / "room.css"
FONT = Path(__file__).parents[1] / "static" / "fonts" / "familjen-grotesk.woff2"


def furnish(app: Flask) -> None:
    """Give a room what all rooms have: look and font, and headers that keep pages harmless."""

    @app.get("/room.css")
    def look() -> Response:
        return send_file(LOOK, max_age=0)

    @app.get("/font.woff2")
    def font() -> Response:
        if not FONT.is_file():  # installed without the site's files: the system's font is used
            abort(404)
        return send_file(FONT, mimetype="font/woff2", max_age=3600)

    @app.after_request
    def guarded(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        if response.mimetype in ("text/html", "message/rfc822"):
            response.headers["Cache-Control"] = "no-store"
        return response
