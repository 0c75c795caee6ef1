"""Errors of our tree on their way over HTTP."""

from __future__ import annotations

import msgspec

from edgellm import errors
from edgellm.errors import BackendError, EdgeLLMError

__all__ = ["ErrorBody", "ErrorText"]


class ErrorText(msgspec.Struct, frozen=True):
    """One error. ``kind`` is its name in our tree; other servers do not give it."""

    message: str
    hint: str | None = None
    status: int = 500
    kind: str = ""

    def as_error(self) -> EdgeLLMError:
        """The error that was raised over there; BackendError for one that this version does not know."""
        kind = getattr(errors, self.kind, None)
        if isinstance(kind, type) and issubclass(kind, EdgeLLMError):
            return kind(self.message, hint=self.hint)
        return BackendError(self.message, hint=self.hint)


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer of ours with a status of 400 or more."""

    error: ErrorText
