"""URLs of the database and the mail server, as operators and hosting providers write them.

The error for an unusable URL is one sentence that says what to write instead.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

# The installed driver for each scheme without a driver. Heroku, Render, Fly and DigitalOcean use
# postgres://, which SQLAlchemy dropped in 1.4.
DRIVERS: Final = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "sqlite": "sqlite",
}
# An address with a comma-separated list of hosts; the last @ ends user and password.
SEVERAL: Final = re.compile(
    r"(?P<before>postgres(?:ql)?(?:\+\w+)?://(?:[^@]*@)?)(?P<hosts>[^/?#@]*,[^/?#@]*)(?P<after>(?:[/?#][^@]*)?)",
    re.IGNORECASE | re.DOTALL,
)
HOST: Final = re.compile(r"(?P<name>[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5})?)?")
# https://www.rfc-editor.org/rfc/rfc3986#section-3.2: a user name or password holds none of these.
ESCAPES: Final = "write / as %2F, # as %23, ? as %3F, @ as %40 and % as %25 in user and password"


def database_url(value: str) -> str:
    """Return the address for SQLAlchemy, with an installed driver. Raises ValueError."""
    several = _several_hosts(value)
    try:
        url = several or make_url(value)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise ValueError("must look like sqlite:////path/to/file or postgresql://…") from None
    backend = url.drivername.partition("+")[0].lower()  # a scheme is case-insensitive
    if backend not in DRIVERS:
        raise ValueError(f"must be SQLite or PostgreSQL, not {backend}")
    if backend == "sqlite":
        if (url.database or ":memory:") == ":memory:":
            raise ValueError("must name a file: every process would have its own empty memory")
    else:
        _require_postgresql(url)
    return url.set(drivername=DRIVERS[backend]).render_as_string(hide_password=False)


def _several_hosts(value: str) -> URL | None:
    """Return an address with several hosts in SQLAlchemy's form; None for other addresses.

    Raises ValueError. libpq accepts user@one:5432,two:5433/name; SQLAlchemy needs the lists as
    parameters: https://docs.sqlalchemy.org/en/20/dialects/postgresql.html#psycopg2-multi-host
    """
    found = SEVERAL.fullmatch(value)
    if found is None:
        return None
    hosts = [HOST.fullmatch(one) for one in found["hosts"].split(",")]
    if not all(hosts):
        raise ValueError(
            "has several hosts, and one of them cannot be read: write "
            "postgresql://user:password@one:5432,two:5432/name, with a number for each port"
        )
    url = make_url(f"{found['before']}{found['after']}")
    if {"host", "port"} & set(url.query):
        raise ValueError("names hosts before the database and as parameters: write them once")
    lists = {
        "host": ",".join(one["name"].strip("[]") for one in hosts if one),
        "port": ",".join(one["port"] or "" for one in hosts if one),
    }
    return url.update_query_dict(lists if lists["port"].strip(",") else {"host": lists["host"]})


def _require_postgresql(url: URL) -> None:
    if "@" in (url.host or "") or "@" in (url.database or "").partition("?")[0]:
        raise ValueError(f"has a second @: {ESCAPES}")
    if not url.query:
        return
    from psycopg import Error
    from psycopg.conninfo import make_conninfo

    for name in url.query:
        try:
            make_conninfo("", **{name: "1"})
        except Error:
            raise ValueError(
                f"has the parameter {name}, which PostgreSQL's own client does not know: "
                "remove it from the address"
            ) from None


def smtp_url(value: str) -> str:
    """Check the address of a mail server, and return it unchanged. Raises ValueError."""
    scheme, _, rest = value.partition("://")
    if scheme.lower() in ("smtp", "smtps"):
        ended = re.search(r"[/?#](?=.*@)", rest)
        if ended or re.search(r"%(?![0-9a-fA-F]{2})", rest):
            raise ValueError(
                f"has a {ended[0] if ended else '%'} in its user or password: {ESCAPES}"
            )
    if not has_host(value) or urlsplit(value).scheme not in ("smtp", "smtps"):
        raise ValueError("must look like smtp://user:password@host:587 or smtps://host:465")
    return value


def has_host(address: str) -> bool:
    """Return whether an address has a host and, if it has a port, a valid one."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_origin(address: str) -> bool:
    """Return whether an address is only a scheme and a host."""
    return has_host(address) and bool(re.fullmatch(r"https?://[^/?#@]+", address, re.IGNORECASE))


def is_loopback(address: str) -> bool:
    """Return whether the address's host is this machine."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
