"""Response headers, origin check, client IP."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request

from crossroads.mail import mailed_links
from crossroads.middleware.body_reader import LATE
from crossroads.middleware.proxies import Watch

# connect-src: our pages fetch nothing by script, but Lighthouse fetches robots.txt from the page.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; font-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
PUBLIC = "public, max-age=0, must-revalidate"
PRIVATE = "no-store"
TAKE_FORMS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
# Endpoints that accept bodies other than forms; all others respond with 415.
OTHER_BODIES = frozenset({"webhooks.stripe"})


def policy_with_payment(origins: list[str]) -> str:
    """Return the policy of a page with a form that redirects to the pay page: it is checked too.

    https://www.w3.org/TR/CSP3/#directive-form-action
    """
    return POLICY.replace("form-action 'self'", " ".join(["form-action 'self'", *origins]))


class CrossSite(Exception):
    """The form was sent from a page of another site."""


def refuse_cross_site(base_url: str) -> None:
    """Raise CrossSite unless the form was sent from this site.

    Sec-Fetch-Site decides if the browser sends it, else Origin. A client that sends neither is no
    browser with a session to abuse, and is accepted.
    https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise CrossSite(site)
        return
    origin = request.headers.get("Origin")
    if origin is None:
        return
    if origin != base_url and host_of(origin) != request.host:
        raise CrossSite(origin)


def host_of(address: str) -> str:
    """Return host and port of an address from a header; empty if it is not valid."""
    try:
        return urlsplit(address).netloc
    except ValueError:  # an unmatched bracket
        return ""


def client_ip() -> IPv4Address | IPv6Address | None:
    """Return the client's IP address; an IPv4-mapped IPv6 address as IPv4."""
    return _ip(request.remote_addr or "")


@lru_cache(maxsize=1024)  # called several times per request
def _ip(address: str) -> IPv4Address | IPv6Address | None:
    given = address.partition("%")[0]
    try:
        # Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711.
        bare = (
            given if given.count(":") > 1 and "[" not in given else urlsplit(f"//{given}").hostname
        )
        ip = ip_address(bare or "")
    except ValueError:
        return None
    if ip.version == 6 and ip.ipv4_mapped is not None:  # from a socket for both versions
        return ip.ipv4_mapped
    return ip


def truncated_ip() -> str | None:
    """Return the client's network, /24 or /48: it shows a region, not a person."""
    ip = client_ip()
    if ip is None:
        return None
    hidden = 8 if ip.version == 4 else 80  # bits
    return str(type(ip)(int(ip) >> hidden << hidden))


def _is_form() -> bool:
    """Return whether the body is a form or empty; True for OTHER_BODIES and unknown paths."""
    if request.url_rule is None or request.endpoint in OTHER_BODIES:
        return True
    if request.mimetype in FORMS:
        return True
    return not request.content_length and "HTTP_TRANSFER_ENCODING" not in request.environ


def init_app(app: Flask, *, https: bool, proxies: Watch) -> None:
    """Add the security headers to every response, and no-store where no cache rule is set."""

    @app.before_request
    def refuse() -> None:
        proxies.look(request.environ.get("HTTP_X_FORWARDED_FOR") or "")
        if "\0" in request.path:  # none of our addresses has one, and PostgreSQL fails on it
            abort(404)
        if LATE in request.environ:
            abort(408)
        if request.method in TAKE_FORMS and not _is_form():
            abort(415)

    @app.url_value_preprocessor
    def read_token(_endpoint: str | None, values: dict[str, Any] | None) -> None:
        if values and "token" in values:
            values["token"] = mailed_links.token(values["token"])

    wanted = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "Cache-Control": PRIVATE,
    }
    if https:
        wanted["Strict-Transport-Security"] = "max-age=31536000"

    @app.after_request
    def headers(response: Response) -> Response:
        given = {name.lower() for name, _ in response.headers}
        response.headers.extend(
            [(name, value) for name, value in wanted.items() if name.lower() not in given]
        )
        return response
