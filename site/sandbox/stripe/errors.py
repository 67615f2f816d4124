"""Error objects of the API (https://docs.stripe.com/api/errors)."""

from typing import Any, Final

NAMES: Final = {
    "promotion_code": "promotion code"
}  # as messages call an object, where that is not its kind


class ApiError(Exception):
    """An error that a call is answered with.

    `saved` tells whether the answer is saved under the call's idempotency key. Invalid parameters
    are not: no work had begun (https://docs.stripe.com/api/idempotent_requests).
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
        """Return the error object, without the fields that do not apply."""
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
    """Return the error for an id that no object has: 404 in the path, 400 in a parameter.

    `live` is the mode of the object with that id, None when neither mode has one.
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
    """Return the error for parameters that exclude each other."""
    return ApiError(
        f"You may only specify one of these parameters: {', '.join(names)}.",
        code="parameters_exclusive",
        param=names[0],
    )


def missing_parameter(param: str) -> ApiError:
    """Return the error for a missing parameter."""
    return ApiError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def invalid_state(message: str, code: str | None = None) -> ApiError:
    """Return the error for a call that an object's state does not allow; saved under the key."""
    return ApiError(message, code=code, saved=True)


def not_in_sandbox(param: str) -> ApiError:
    """Return the error for a parameter that Stripe has and the sandbox does not implement."""
    return ApiError(
        f"The sandbox does not implement this use of `{param}`, which Stripe has. Leave it out, "
        "or try it at Stripe with a test key.",
        param=param,
    )
