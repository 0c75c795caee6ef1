"""Errors as Ollama's clients read them."""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from edgellm.errors import EdgeLLMError, NotFoundError, UsageError

__all__ = ["ErrorAnswer", "error_body", "model_name", "not_found", "require_digest"]


class ErrorAnswer(msgspec.Struct, frozen=True):
    """What went wrong, in one sentence."""

    error: str


def error_body(error: EdgeLLMError, _status: int) -> ErrorAnswer:
    """``{"error": TEXT}``: what happened, and what to do about it."""
    return ErrorAnswer(f"{error.message} ({error.hint})" if error.hint else error.message)


def model_name(body: Any) -> str:
    """The model that a request names, in ``model`` or in the older ``name``. Raises UsageError without one."""
    name: str = body.model or body.name
    if not name.strip():
        raise UsageError("model is required")
    return name


def not_found(name: str, error: NotFoundError) -> NoReturn:
    """Raise Ollama's own sentence for a model that is not in the store: clients look for it."""
    raise NotFoundError(f"model '{name}' not found", hint=error.hint) from error


def require_digest(text: str) -> str:
    """``text`` when it is a digest. Raises UsageError."""
    hexdigits = text.removeprefix("sha256:").removeprefix("sha256-")
    if len(hexdigits) != 64 or not set(hexdigits) <= set("0123456789abcdef"):
        raise UsageError("invalid digest format", hint="write it like sha256: and 64 hex digits")
    return f"sha256:{hexdigits}"
