"""Errors as our own clients read them."""

from __future__ import annotations

from edgellm.api.errors import ErrorBody, ErrorText
from edgellm.errors import EdgeLLMError

__all__ = ["ErrorAnswer", "error_body"]

ErrorAnswer = ErrorBody


def error_body(error: EdgeLLMError, status: int) -> ErrorBody:
    """``{"error": {"message", "hint", "status", "kind"}}``; ``kind`` is the error's name in our tree."""
    return ErrorBody(ErrorText(error.message, error.hint, status, type(error).__name__))
