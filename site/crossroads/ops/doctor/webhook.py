"""Checks the webhook: its address, its events and its secret.

Stripe shows a signing secret only once. So the proof for ours is an event that was verified, and
the proof against it is an event that was not verified although Stripe knows its id.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from crossroads.fulfillment import webhook_events
from crossroads.fulfillment.webhook_events import FOLLOWED, Reception
from crossroads.ops.doctor.finding import Finding, unclear
from crossroads.payments import (
    Account,
    Endpoint,
    Event,
    Gateway,
    PaymentsError,
    PaymentsForbidden,
    PaymentsUnclear,
)
from crossroads.settings import Settings

SIGNING_SECRET: Final = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
RECENT: Final = timedelta(days=3)  # as long as Stripe retries a delivery
ON_THE_WAY: Final = timedelta(minutes=2)
LOOKED_AT: Final = 200  # of the newest events


def examine(
    settings: Settings, engine: Engine, gateway: Gateway, account: Account | None
) -> Iterator[Finding]:
    """Yield findings about the endpoint and its secret; `account` is None without a valid key."""
    fault = _fault(settings)
    if fault:
        yield Finding("wrong", f"STRIPE_WEBHOOK_SECRET: {fault}")
    if account is None:
        if not fault:
            yield Finding("fine", "webhook secret: format is right")
        return
    try:
        recent = _recent(gateway, account)
        yield from _endpoint(settings, gateway, recent)
        if not fault:
            yield from _secret(engine, recent)
    except PaymentsForbidden:
        return  # reported by the check of the key
    except PaymentsUnclear as error:
        yield unclear("webhooks", error)
    except PaymentsError as error:
        yield Finding("wrong", f"Stripe does not answer about webhooks: {error}")
    except SQLAlchemyError:
        return  # reported by the check of the database


def _fault(settings: Settings) -> str:
    secrets = settings.webhook_secrets
    if not secrets:
        return f"set it to the whsec_… of the endpoint {_address(settings)}"
    if not all(SIGNING_SECRET.fullmatch(secret) for secret in secrets):
        return (
            "is no signing secret: copy the whsec_… that the endpoint shows in Stripe's dashboard"
        )
    return ""


def _endpoint(settings: Settings, gateway: Gateway, recent: Sequence[Event]) -> Iterator[Finding]:
    address = _address(settings)
    all_ = list(gateway.endpoints())
    ours = [one for one in all_ if one.url.rstrip("/") == address]
    if not ours:
        elsewhere = sorted({urlsplit(one.url).hostname or "" for one in all_})
        where = f", only to {', '.join(elsewhere)}" if elsewhere else ""
        yield Finding(
            "wrong" if settings.production else "note",
            f"webhook endpoint: Stripe sends no events to {address}{where}: add it there; "
            "meanwhile flask worker asks Stripe every few minutes",
        )
        return
    faults = [fault for one in ours for fault in _faults(one, gateway, recent)]
    if len(ours) > 1:
        faults.append(f"is there {len(ours)} times, so every event comes as often: keep one")
    for fault in dict.fromkeys(faults):
        yield Finding("wrong", f"webhook endpoint {address}: {fault}")
    if not faults:
        yield Finding("fine", f"webhook endpoint {address}, with every event")


def _faults(endpoint: Endpoint, gateway: Gateway, recent: Sequence[Event]) -> Iterator[str]:
    if not endpoint.enabled:
        yield "is disabled: enable it in Stripe's dashboard"
    missing = sorted(FOLLOWED - set(endpoint.kinds))
    if missing and "*" not in endpoint.kinds:
        yield f"lacks {', '.join(missing)}: add what is missing"
    # Without a version of its own it gets the account's, which events are listed in.
    version = endpoint.version or next((one.version for one in recent), None)
    if version and version != gateway.version:
        yield f"gets events of API version {version}, and this site speaks {gateway.version}"


def _secret(engine: Engine, recent: Sequence[Event]) -> Iterator[Finding]:
    with Session(engine) as session:
        reception = webhook_events.reception(session, [one.id for one in recent])
    if reception.refused:
        yield Finding(
            "wrong",
            f"STRIPE_WEBHOOK_SECRET: is not that of the endpoint: Stripe's event "
            f"{reception.refused} came and did not verify: copy the whsec_… again",
        )
        return
    waiting = [one for one in recent if one.pending and one.id not in reception.here]
    if waiting:
        oldest = f"{waiting[-1].created_at:%b %d, %H:%M} UTC"
        yield Finding(
            "wrong",
            f"webhook: of Stripe's events, {len(waiting)} did not come and are still tried, the "
            f"oldest of {oldest}: see what Stripe's dashboard says of their deliveries",
        )
    yield Finding("fine", f"webhook secret: {_proof(reception)}")


def _proof(reception: Reception) -> str:
    if reception.last is None:
        return "format is right; no event has verified it yet"
    return f"last event verified on {reception.last:%b %d, %H:%M} UTC"


def _recent(gateway: Gateway, account: Account) -> list[Event]:
    """Return the newest events that should have arrived, by Stripe's clock."""
    events = gateway.events(account.clock - RECENT, sorted(FOLLOWED))
    due = account.clock - ON_THE_WAY
    return [one for one in islice(events, LOOKED_AT) if one.created_at < due]


def _address(settings: Settings) -> str:
    return f"{settings.base_url}/webhooks/stripe"
