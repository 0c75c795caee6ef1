"""Errors as OpenAI's clients read them.

https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import re

import msgspec

from edgellm.errors import EdgeLLMError, NotFoundError, PromptTooLongError

__all__ = ["ErrorAnswer", "ErrorDetail", "error_body"]

_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")  # where msgspec says that a value is off
_TYPES = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    501: ("not_implemented_error", "not_implemented"),
    503: ("overloaded_error", "overloaded"),
    507: ("insufficient_memory_error", "insufficient_memory"),
}
_CLIENT_ERRORS = range(400, 500)


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong. ``param`` is the place in the body."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(msgspec.Struct, frozen=True):
    """An error."""

    error: ErrorDetail


def error_body(error: EdgeLLMError, status: int) -> ErrorAnswer:
    """``{"error": {"message", "type", "param", "code"}}``"""
    default = "invalid_request_error" if status in _CLIENT_ERRORS else "server_error"
    kind, code = _TYPES.get(status, (default, None))
    if isinstance(error, NotFoundError) and not error.message.startswith("there is no /"):
        code = "model_not_found"
    if isinstance(error, PromptTooLongError):
        code = "context_length_exceeded"
    place = _PLACE.search(error.message)
    message = error.message if error.hint is None else f"{error.message} ({error.hint})"
    return ErrorAnswer(ErrorDetail(message, kind, place[1] if place else None, code))
