"""Errors in the form that Anthropic's clients read (https://docs.anthropic.com/en/api/errors)."""

from __future__ import annotations

from edgellm.errors import EdgeLLMError, PromptTooLongError
from edgellm.server.dialects.anthropic.responses import ErrorAnswer, ErrorDetail

__all__ = ["ErrorAnswer", "error_body"]

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    507: "overloaded_error",  # no memory now
}


def error_body(error: EdgeLLMError, status: int) -> ErrorAnswer:
    """``{"type": "error", "error": {"type", "message"}}``; the message has the hint too: there is no other place."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    message = error.message if error.hint is None else f"{error.message} ({error.hint})"
    if isinstance(error, PromptTooLongError):  # programs look for these words, and shorten the conversation
        message = f"prompt is too long: {message}"
    return ErrorAnswer(ErrorDetail(kind, message))
