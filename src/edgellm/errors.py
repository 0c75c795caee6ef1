"""Every error that a user can meet, in one tree.

::

    EdgeLLMError                exit 1    HTTP 500
    ├── UsageError              exit 2    HTTP 400   the request itself is off
    │   ├── PromptTooLongError                       more tokens than the context holds
    │   ├── TooLargeError                 HTTP 413   more than a limit allows
    │   └── TooSlowError                  HTTP 408   the request did not arrive in time
    ├── NotFoundError           exit 3    HTTP 404   no such bundle, profile, file
    ├── DoesNotFitError         exit 4    HTTP 507   memory is too small
    ├── IntegrityError          exit 5    HTTP 422   bytes are not what they claim to be
    │   ├── CheckpointError                          a checkpoint that is torn, lying or hostile
    │   ├── ModelFileError                           a GGUF file that is torn, lying or too new
    │   ├── BundleError                              a bundle that is torn, lying or hostile
    │   └── ProfileError                             a device profile that is not valid
    ├── UnsupportedError        exit 1    HTTP 501   well-formed, but not something we can do
    │   └── MissingAbilityError           HTTP 400   not something that this model can do
    ├── NoSpaceError            exit 1    HTTP 507   the disk is full
    ├── AccessError             exit 1    HTTP 403   the operating system, a model hub or our own rules said no
    │   └── KeyRequiredError              HTTP 401   no API key came, or one that is not known
    ├── NetworkError            exit 1    HTTP 502   a model hub cannot be reached, or answers nonsense
    ├── BusyError               exit 1    HTTP 503   somebody else holds it
    ├── BackendError            exit 1    HTTP 500   the native runtime failed
    └── Interrupted             exit 130  HTTP 499   the user said stop

``message`` says what happened to which thing; ``hint`` says what to do next.
"""

from __future__ import annotations

__all__ = [
    "AccessError",
    "BackendError",
    "BundleError",
    "BusyError",
    "CheckpointError",
    "DoesNotFitError",
    "EdgeLLMError",
    "IntegrityError",
    "Interrupted",
    "KeyRequiredError",
    "MissingAbilityError",
    "ModelFileError",
    "NetworkError",
    "NoSpaceError",
    "NotFoundError",
    "ProfileError",
    "PromptTooLongError",
    "TooLargeError",
    "TooSlowError",
    "UnsupportedError",
    "UsageError",
]


class EdgeLLMError(Exception):
    """Base of all errors that are shown to a user without a traceback.

    ``exit_code`` is the exit status of the command line, ``http_status`` the status of the API.
    """

    exit_code = 1
    http_status = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(EdgeLLMError):
    """The request itself is off: an unknown option value, an ambiguous name."""

    exit_code = 2
    http_status = 400


class PromptTooLongError(UsageError):
    """A prompt has more tokens than its model's context holds. ``prompt_tokens`` is 0 where nobody counted them."""

    def __init__(
        self, message: str, *, hint: str | None = None, prompt_tokens: int = 0, context_tokens: int = 0
    ) -> None:
        super().__init__(message, hint=hint)
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens


class TooLargeError(UsageError):
    """The request has more of something than a limit allows."""

    http_status = 413


class TooSlowError(UsageError):
    """The request did not arrive in time."""

    http_status = 408


class NotFoundError(EdgeLLMError):
    """There is no such bundle, profile or file."""

    exit_code = 3
    http_status = 404


class DoesNotFitError(EdgeLLMError):
    """The model needs more memory than the device has."""

    exit_code = 4
    http_status = 507


class IntegrityError(EdgeLLMError):
    """Bytes are not what they claim to be."""

    exit_code = 5
    http_status = 422


class CheckpointError(IntegrityError):
    """A training checkpoint that is torn, lying or hostile."""

    exit_code = 1


class ModelFileError(IntegrityError):
    """A GGUF file that is torn, lying or of a version that we cannot read."""

    exit_code = 1


class BundleError(IntegrityError):
    """A bundle that is torn, lying or hostile."""


class ProfileError(IntegrityError):
    """A device profile with unknown fields or impossible values."""

    exit_code = 2


class UnsupportedError(EdgeLLMError):
    """Well-formed, but not something that this version can do."""

    http_status = 501


class MissingAbilityError(UnsupportedError):
    """The model that a request names was not made for what is asked of it: an encoder generates no text."""

    http_status = 400


class NoSpaceError(EdgeLLMError):
    """The disk is full, or would be."""

    http_status = 507


class AccessError(EdgeLLMError):
    """The operating system refused to read or write, a model hub refused to send, or a server's rules say no."""

    http_status = 403


class KeyRequiredError(AccessError):
    """No API key came with a request that needs one, or one that is not known."""

    http_status = 401


class NetworkError(EdgeLLMError):
    """A model hub cannot be reached (or must not be, offline), or it keeps failing."""

    http_status = 502


class BusyError(EdgeLLMError):
    """Another process holds what this one needs, or too many ask at once. ``retry_after_s``: when to try again."""

    http_status = 503

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class BackendError(EdgeLLMError):
    """The native runtime failed."""


class Interrupted(EdgeLLMError):
    """The user said stop (Ctrl-C, a cancelled job)."""

    exit_code = 130
    http_status = 499
