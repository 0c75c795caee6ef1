"""Errors in llama-server's form."""

from __future__ import annotations

from msgspec import UNSET

from edgellm.errors import EdgeLLMError, PromptTooLongError
from edgellm.server.dialects.llamacpp.responses import ErrorAnswer, ErrorDetail

__all__ = ["ErrorAnswer", "error_body"]

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    501: "not_supported_error",
    503: "unavailable_error",
    507: "unavailable_error",
}


def error_body(error: EdgeLLMError, status: int) -> ErrorAnswer:
    """``{"error": {"code", "message", "type"}}``; the message has the hint too: there is no other place."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    message = error.message if error.hint is None else f"{error.message} ({error.hint})"
    if not isinstance(error, PromptTooLongError):
        return ErrorAnswer(ErrorDetail(status, message, kind))
    counts = {"n_prompt_tokens": error.prompt_tokens or UNSET, "n_ctx": error.context_tokens or UNSET}
    return ErrorAnswer(ErrorDetail(status, message, "exceed_context_size_error", **counts))
