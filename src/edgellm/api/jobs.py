"""Long work on a server, as its routes show it: see docs/guides/jobs.md."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgellm import errors
from edgellm.api.orders import Order
from edgellm.errors import BackendError, EdgeLLMError

__all__ = ["ENDED", "Job", "JobChanges", "JobError", "JobList", "JobPhase", "JobState", "RemovedJob"]

JobState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled", "interrupted")


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


class JobPhase(msgspec.Struct, frozen=True):
    """A part of a job that is over. Times are seconds since the epoch."""

    name: str
    started: float
    ended: float
    done_bytes: int = 0


class Job(msgspec.Struct, kw_only=True):
    """One job. Times are seconds since the epoch.

    ``done_bytes`` and ``total_bytes`` are of the phase, the second None where nobody knows. ``phases`` are those of
    this attempt that are over. ``digest`` is of the file that is being fetched. ``result`` is what the command prints
    as JSON. ``interrupted``: the server ended before it.
    """

    id: str
    order: Order
    state: JobState = "queued"
    created: float
    started: float | None = None
    ended: float | None = None
    attempts: int = 0
    phase: str = ""
    phase_started: float | None = None
    done_bytes: int = 0
    total_bytes: int | None = None
    phases: list[JobPhase] = []
    digest: str | None = None
    messages: list[str] = []
    result: Any = None
    error: JobError | None = None

    @property
    def has_ended(self) -> bool:
        """True when nothing more happens to it unless it is resumed."""
        return self.state in ENDED


class JobList(msgspec.Struct, frozen=True):
    """All jobs, the newest first. ``sources``: the kinds of models that can be packed here."""

    jobs: list[Job]
    sources: list[str]


class JobChanges(msgspec.Struct, frozen=True):
    """Jobs that are new or otherwise than before, the oldest first, and the ids of those that were forgotten.

    With ``is_whole`` there are no others than these.
    """

    jobs: list[Job]
    removed: list[str] = []
    is_whole: bool = False


class RemovedJob(msgspec.Struct, frozen=True):
    """The id of the job that is forgotten."""

    removed: str
