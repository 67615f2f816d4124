"""Proxies in front of the site: checks TRUSTED_PROXIES against the requests' headers.

If the number is too small or too large, every visitor has the proxy's own address: all of them
share one rate limit and one limit of held seats, and consent events lack the visitor's network.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

FILE: Final = "proxies.json"  # in INSTANCE: the web server's finding, for the doctor

log = structlog.get_logger()


class Watch:
    """Checks requests until one does not match the setting; logs that and stores it for doctor."""

    def __init__(self, instance: Path, trusted: int) -> None:
        self._instance = instance
        self._trusted = trusted
        self._done = False

    def look(self, forwarded: str) -> None:
        """Check the X-Forwarded-For of a request, as the nearest proxy sent it."""
        if self._done:
            return
        hops = len([hop for hop in forwarded.split(",") if hop.strip()])
        problem = mismatch(self._trusted, hops)
        if problem is None:
            return
        self._done = True
        log.warning("TRUSTED_PROXIES does not match", problem=problem)
        with suppress(OSError):  # a full disk: the log has it
            seen = json.dumps({"trusted": self._trusted, "hops": hops})
            (self._instance / FILE).write_text(seen)


def mismatch(trusted: int, hops: int) -> str | None:
    """Return what is wrong with TRUSTED_PROXIES for this number of hops, or None.

    A request without the header proves nothing: a health check does not use the proxy. Hops beyond
    the number of proxies were sent by the visitor.
    """
    if hops and not trusted:
        return (
            "TRUSTED_PROXIES: is 0, but requests come through a proxy (X-Forwarded-For): all "
            "visitors count as one. Set it to the number of proxies in front, 1 as a rule"
        )
    if hops and hops < trusted:
        return (
            f"TRUSTED_PROXIES: is {trusted}, but X-Forwarded-For names {hops}: all visitors count "
            f"as one. Set it to {hops}"
        )
    return None


def stored_problem(instance: Path, trusted: int) -> str | None:
    """Return the problem that the web server found with the current setting, or None."""
    try:
        seen = json.loads((instance / FILE).read_bytes())
        return mismatch(trusted, int(seen["hops"])) if seen["trusted"] == trusted else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
