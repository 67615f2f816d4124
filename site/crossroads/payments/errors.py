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

# The permission that a restricted key lacks, in Stripe's message: 'rak_charge_read'.
RIGHT: Final = re.compile(r"'(?:rak_)?([a-z_]+_(?:read|write))'")


# Stripe failed or was unreachable; it refused the request; or this site is at fault.
Why = Literal["away", "refused", "ours"]


class PaymentsError(Exception):
    """A call to Stripe failed. The text contains no secret."""


class PaymentsUnavailable(PaymentsError):
    """Stripe is unreachable or failed; it may have executed the request.

    `key_spent`: only a new idempotency key can succeed. Stripe saved this failure as the answer to
    the key, or the key was used with other parameters, such as before BASE_URL changed.
    https://docs.stripe.com/api/idempotent_requests
    """

    def __init__(self, text: str, *, key_spent: bool = False) -> None:
        super().__init__(text)
        self.key_spent = key_spent


class TooManyCalls(PaymentsUnavailable):
    """The limit of threads that wait for Stripe is reached; no call was made."""


class PaymentsUnclear(PaymentsUnavailable):
    """This site could not parse Stripe's answer: the fault is ours.

    The text names the object and the field. Stripe may have executed the request.
    """


class PaymentsBusy(PaymentsUnavailable):
    """Stripe's rate limit: nothing was executed. `seconds` is the requested wait, if any.

    https://docs.stripe.com/rate-limits
    """

    def __init__(self, text: str, seconds: float | None = None) -> None:
        super().__init__(text)
        self.seconds = seconds


class PaymentsDenied(PaymentsUnavailable):
    """The key is unknown or lacks a permission. An earlier attempt may have succeeded."""


class PaymentsForbidden(PaymentsDenied):
    """The key lacks a permission: `right`, if Stripe names it.

    https://docs.stripe.com/keys#limit-access
    """

    def __init__(self, text: str, right: str = "") -> None:
        super().__init__(text)
        self.right = right


class PaymentsRefused(PaymentsError):
    """Stripe refused the request; `param` is the parameter at fault, if Stripe names it.

    `code` is Stripe's error code, such as charge_already_refunded.
    https://docs.stripe.com/error-codes
    """

    def __init__(self, param: str | None = None, code: str | None = None) -> None:
        why = code or "invalid request"
        super().__init__(f"refused: {why}" + (f" ({param})" if param else ""))
        self.param = param
        self.code = code


class BadEvent(PaymentsError):
    """The webhook's request is not an event that Stripe signed for this site."""


def is_our_fault(error: Exception) -> bool:
    """Tell whether this site caused the failure: Stripe answered, and refused or was misread.

    Then a page must not say that Stripe is unreachable, and the log level is error.
    """
    return isinstance(error, PaymentsDenied | PaymentsRefused | PaymentsUnclear)


def why(error: PaymentsError) -> Why:
    """Return the category of a failure."""
    return (
        "refused"
        if isinstance(error, PaymentsRefused)
        else "ours"
        if is_our_fault(error)
        else "away"
    )


@contextmanager
def our_errors() -> Iterator[None]:
    """Convert exceptions of the SDK and of a malformed answer into our own."""
    import stripe

    try:
        yield
    except stripe.InvalidRequestError as error:
        raise PaymentsRefused(error.param, error.code) from None
    except stripe.RateLimitError as error:
        raise PaymentsBusy(type(error).__name__, _wanted(error)) from None
    # A refused key does not tell whether an earlier attempt succeeded: not PaymentsRefused.
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
    # The answer is no Stripe object: truncated, of another type, or not text.
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise PaymentsUnavailable(f"answer not understood: {type(error).__name__}") from None


def _wanted(error: stripe.RateLimitError) -> float | None:
    """Return the seconds of the Retry-After header; None without one."""
    try:
        return max(float(error.headers["Retry-After"]), 0.0) if error.headers else None
    except (LookupError, ValueError):
        return None
