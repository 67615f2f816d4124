"""Stripe's error objects: what a call is refused with, and why."""

from typing import Any, Final

NAMES: Final = {"promotion_code": "promotion code"}  # in messages, where it is not the kind


class ApiError(Exception):
    """A call answered with an error object.

    `saved` tells whether the answer is kept under the call's idempotency key. Mistakes in the
    parameters are not: no work had begun (https://docs.stripe.com/api/idempotent_requests).
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        saved: bool = False,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.code = message, status, code
        self.param, self.kind, self.saved = param, kind, saved

    def body(self, request_log_url: str) -> dict[str, Any]:
        """Return the error object, without what does not apply (https://docs.stripe.com/api/errors)."""
        error: dict[str, Any] = {}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        error["message"] = self.message
        if self.param:
            error["param"] = self.param
        error["request_log_url"] = request_log_url
        error["type"] = self.kind
        return {"error": error}


def no_such(
    kind: str, given: str, param: str, *, status: int = 404, live: bool | None = None
) -> ApiError:
    """Return the refusal for an id that no object has: 404 in the address, 400 in a parameter.

    `live` is the mode of the object with that id, if the other mode has one.
    https://docs.stripe.com/error-codes#resource-missing
    """
    hint = ""
    if live is not None:
        theirs, ours = ("live", "test") if live else ("test", "live")
        hint = (
            f"; a similar object exists in {theirs} mode, but a {ours} mode key was used to make "
            "this request."
        )
    name = NAMES.get(kind, kind)
    return ApiError(
        f"No such {name}: '{given}'{hint}", status=status, code="resource_missing", param=param
    )


def mutually_exclusive(*names: str) -> ApiError:
    """Return the refusal for parameters that exclude each other (code parameters_exclusive)."""
    return ApiError(
        f"You may only specify one of these parameters: {', '.join(names)}.",
        code="parameters_exclusive",
        param=names[0],
    )


def missing_parameter(param: str) -> ApiError:
    """Return the refusal for a parameter that was left out (code parameter_missing)."""
    return ApiError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def invalid_state(message: str, code: str | None = None) -> ApiError:
    """Return the refusal of work that what is stored does not allow: kept under the key."""
    return ApiError(message, code=code, saved=True)


def not_in_sandbox(param: str) -> ApiError:
    """Return the refusal for what Stripe knows and this stand-in does not. No silent no-ops."""
    return ApiError(
        f"The sandbox does not stand in for `{param}` as it was given. Stripe knows it: "
        "leave it out here, or try it with a test key of Stripe's own.",
        param=param,
    )
