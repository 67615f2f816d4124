"""Opens and expires a trial checkout, to check that this site understands the answer.

It goes through the code that sells, so that an operator learns of an error before a buyer does.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from secrets import token_hex
from typing import Final

from crossroads.content import Content, Course
from crossroads.mail_headers import parse_mailbox
from crossroads.ops.doctor.finding import Finding, unclear
from crossroads.orders.checkout.placement import CHECKOUT_MINUTES
from crossroads.payments import (
    Account,
    Gateway,
    Options,
    PaymentsError,
    PaymentsForbidden,
    PaymentsRefused,
    PaymentsUnclear,
    Purchase,
)
from crossroads.settings import Settings

NEWEST: Final[dict[str, Callable[[Gateway], object]]] = {
    "checkout": lambda gateway: gateway.newest_checkout(),
    "refund": lambda gateway: gateway.newest_refund(),
    "invoice": lambda gateway: gateway.newest_invoice(),
}


def examine(
    settings: Settings, gateway: Gateway, account: Account | None, content: Content
) -> Iterator[Finding]:
    """Yield the findings; `account` is None when Stripe accepts no key.

    In live mode nothing is created: the newest objects are read.
    """
    if account is None:
        return
    try:
        if not account.live:
            yield from _checkouts(settings, gateway, account, content)
        yield from _newest(gateway)
    except PaymentsForbidden:
        return  # reported by the check of the key
    except PaymentsError as error:
        yield Finding("wrong", f"Stripe does not answer about checkouts: {error}")


def _checkouts(
    settings: Settings, gateway: Gateway, account: Account, content: Content
) -> Iterator[Finding]:
    """Open and expire a checkout like an order's for each course, once for identical ones."""
    alike: dict[str, Course] = {}
    for course in content.courses:
        alike.setdefault(f"{course.price.currency} {course.checkout!r}", course)
    for course in alike.values():
        try:
            gateway.create_and_expire(_purchase(settings, account, course))
        except PaymentsRefused as error:
            yield Finding(
                "wrong",
                f"checkout of {course.slug}: {error}: set up in Stripe's dashboard what the "
                "course's price and `checkout` need, or change them",
            )
        except PaymentsUnclear as error:
            yield unclear(f"checkout of {course.slug}", error)
        else:
            yield Finding("fine", f"checkout of {course.slug}, opened at Stripe and ended")


def _newest(gateway: Gateway) -> Iterator[Finding]:
    understood = []
    for name, ask in NEWEST.items():
        try:
            if ask(gateway) is not None:
                understood.append(name)
        except PaymentsUnclear as error:
            yield unclear(f"newest {name} at Stripe", error)
    if understood:
        yield Finding("fine", f"newest at Stripe, understood: {', '.join(understood)}")


def _purchase(settings: Settings, account: Account, course: Course) -> Purchase:
    """Return a purchase of one seat in a course, without an order."""
    token = f"doctor-{token_hex(16)}"
    return Purchase(
        reference=token,
        site="",
        number=0,
        course=course.slug,
        cohort="",
        key=token,
        email=parse_mailbox(settings.mail_from)[1],
        item=course.title,
        unit_amount=course.price.amount,
        currency=course.price.currency,
        quantity=1,
        return_url=f"{settings.base_url}/orders/{token}",
        terms_url=f"{settings.base_url}/terms",
        # By Stripe's clock: the check of the key reports an error of ours.
        expires_at=account.clock + timedelta(minutes=CHECKOUT_MINUTES),
        options=Options(**course.checkout.model_dump(exclude_defaults=True)),
    )
