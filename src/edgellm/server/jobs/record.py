"""A job, as the routes show it and as it is kept."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgellm import errors
from edgellm.errors import BackendError, EdgeLLMError
from edgellm.server.jobs.orders import Order

__all__ = ["ENDED", "Job", "JobError", "JobState"]

JobState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled", "interrupted")
_MOST_MESSAGES = 100
_LONGEST_MESSAGE = 4000


class JobError(msgspec.Struct, frozen=True):
    """Why a job failed. ``type`` is the class of the error."""

    type: str
    message: str
    hint: str | None = None

    def exception(self) -> EdgeLLMError:
        """The error itself."""
        kind = getattr(errors, self.type, BackendError)
        found: EdgeLLMError = kind(self.message, hint=self.hint)
        return found


class Job(msgspec.Struct, kw_only=True):
    """One job. Times are seconds since the epoch.

    ``done_bytes`` and ``total_bytes`` are of the phase, the second None where nobody knows. ``digest`` is of the file
    that is being fetched. ``result`` is what the command prints as JSON. ``interrupted``: the server ended before it.
    """

    id: str
    order: Order
    state: JobState = "queued"
    created: float
    started: float | None = None
    ended: float | None = None
    attempts: int = 0
    phase: str = ""
    done_bytes: int = 0
    total_bytes: int | None = None
    digest: str | None = None
    messages: list[str] = []
    result: Any = None
    error: JobError | None = None

    @property
    def has_ended(self) -> bool:
        """True when nothing more happens to it unless it is resumed."""
        return self.state in ENDED

    def say(self, text: str) -> None:
        """Keep a line for the user; the oldest go when there are many."""
        self.messages.append(text[:_LONGEST_MESSAGE])
        del self.messages[:-_MOST_MESSAGES]

    def begin(self, now: float) -> None:
        """A new attempt begins; what the last one said is forgotten."""
        self.state, self.started, self.ended = "running", now, None
        self.attempts += 1
        self.messages, self.result, self.error = [], None, None
        self.phase, self.done_bytes, self.total_bytes, self.digest = "", 0, None, None
