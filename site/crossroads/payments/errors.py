"""Exceptions for failed calls to Stripe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal

from crossroads.payments.fields import NotUnderstood

if TYPE_CHECKING:
    import stripe

# How Stripe names a right that a restricted key lacks: 'rak_charge_read' or 'charge_read'.
RIGHT: Final = re.compile(r"'(?:rak_)?([a-z_]+_(?:read|write))'")


# Stripe is in trouble or was not reached, or it refused what was asked, or this site is at fault.
Why = Literal["away", "refused", "ours"]


class PaymentsError(Exception):
    """Stripe did not do what was asked. The text holds no secret."""


class PaymentsUnavailable(PaymentsError):
    """Stripe cannot be reached or is in trouble; what was asked may have been done.

    `key_spent` means that Stripe keeps this failure as the answer to the idempotency key, or that
    the key was used for something else, as before BASE_URL changed: only a new key can succeed.
    https://docs.stripe.com/api/idempotent_requests
    """

    def __init__(self, text: str, *, key_spent: bool = False) -> None:
        super().__init__(text)
        self.key_spent = key_spent


class TooManyCalls(PaymentsUnavailable):
    """The limit of threads that wait for Stripe is reached: no call was made."""


class PaymentsUnclear(PaymentsUnavailable):
    """Stripe answered, and this site does not understand the answer: the fault is ours.

    The text names the object and the field. What was asked may have been done.
    """


class PaymentsBusy(PaymentsUnavailable):
    """Stripe was asked too often, and did nothing. `seconds` is how long it wants to be left alone.

    https://docs.stripe.com/rate-limits
    """

    def __init__(self, text: str, seconds: float | None = None) -> None:
        super().__init__(text)
        self.seconds = seconds


class PaymentsDenied(PaymentsUnavailable):
    """Stripe does not know the key, or it may not do this. What was asked before may be done."""


class PaymentsForbidden(PaymentsDenied):
    """Stripe knows the key, and it may not do this: `right` is what it lacks, if Stripe says so.

    https://docs.stripe.com/keys#limit-access
    """

    def __init__(self, text: str, right: str = "") -> None:
        super().__init__(text)
        self.right = right


class PaymentsRefused(PaymentsError):
    """Stripe will not do this as asked, because of the parameter `param` if it says so.

    `code` is Stripe's word for why, like charge_already_refunded.
    https://docs.stripe.com/error-codes
    """

    def __init__(self, param: str | None = None, code: str | None = None) -> None:
        why = code or "invalid request"
        super().__init__(f"refused: {why}" + (f" ({param})" if param else ""))
        self.param = param
        self.code = code


class BadEvent(PaymentsError):
    """What came to the webhook is no event signed by Stripe for us."""


def is_our_fault(error: Exception) -> bool:
    """Tell whether this site is at fault: Stripe was reached, and refused us or was misread.

    A page must then not say that Stripe cannot be reached, and the log has an error.
    """
    return isinstance(error, PaymentsDenied | PaymentsRefused | PaymentsUnclear)


def why(error: PaymentsError) -> Why:
    """Return why Stripe did not do what was requested, as a text for staff."""
    return (
        "refused"
        if isinstance(error, PaymentsRefused)
        else "ours"
        if is_our_fault(error)
        else "away"
    )


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn whatever the SDK and a wrong answer raise into our own exceptions."""
    import stripe

    try:
        yield
    except stripe.InvalidRequestError as error:
        raise PaymentsRefused(error.param, error.code) from None
    except stripe.RateLimitError as error:
        raise PaymentsBusy(type(error).__name__, _wanted(error)) from None
    # A key that is refused says nothing of what was done with it before: it counts as trouble.
    except stripe.AuthenticationError as error:
        raise PaymentsDenied(type(error).__name__) from None
    except stripe.PermissionError as error:
        right = RIGHT.search(str(error))
        raise PaymentsForbidden(type(error).__name__, right[1] if right else "") from None
    except stripe.StripeError as error:
        changed = isinstance(error, stripe.IdempotencyError) and error.http_status == 400
        spent = changed or error.http_status == HTTPStatus.INTERNAL_SERVER_ERROR
        raise PaymentsUnavailable(type(error).__name__, key_spent=spent) from None
    except NotUnderstood as error:
        raise PaymentsUnclear(f"answer not understood: {error}") from None
    # An answer that is no Stripe object: cut off, of another type, or not even text.
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise PaymentsUnavailable(f"answer not understood: {type(error).__name__}") from None


def _wanted(error: stripe.RateLimitError) -> float | None:
    """Return the seconds of the answer's Retry-After, which need not be there."""
    try:
        return max(float(error.headers["Retry-After"]), 0.0) if error.headers else None
    except (LookupError, ValueError):
        return None
