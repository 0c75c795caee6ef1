"""Jobs as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgellm.api.jobs import Job, JobState
from edgellm.tui.models.job_order import kind_of, subject_of
from edgellm.tui.models.speed import SpeedMeter
from edgellm.tui.models.text import Tone, moment, one_line
from edgellm.units import format_bytes, format_duration

__all__ = ["JobRow", "can_cancel", "can_forget", "can_resume", "can_save", "job_row", "progress_text", "summary_text"]

_TONES: dict[JobState, Tone] = {
    "queued": "quiet",
    "running": "busy",
    "done": "good",
    "failed": "bad",
    "cancelled": "warning",
    "interrupted": "warning",
}


class JobRow(NamedTuple):
    """One job. ``share`` is how much of its phase is done, 0 to 1; None where nobody knows or nothing runs."""

    id: str
    state: str
    tone: Tone
    kind: str
    subject: str
    progress: str
    share: float | None
    speed: str
    left: str
    when: str


def job_row(job: Job, now_s: float, meter: SpeedMeter | None = None, ahead: int = 0) -> JobRow:
    """``now_s``: seconds since the epoch. ``ahead``: how many jobs come before one that waits."""
    speed = left = None
    if job.state == "running" and meter is not None:
        speed, left = meter.bytes_per_s(), meter.left_s(job.total_bytes)
    return JobRow(
        id=job.id,
        state=job.state,
        tone=_TONES[job.state],
        kind=kind_of(job.order),
        subject=subject_of(job.order),
        progress=progress_text(job, ahead),
        share=_share(job),
        speed="" if speed is None else f"{format_bytes(speed)}/s",
        left="" if left is None else format_duration(left),
        when=moment(job.ended or job.started or job.created, now_s),
    )


def progress_text(job: Job, ahead: int = 0) -> str:
    """How far it is, how long it took, or why it ended."""
    if job.state == "queued":
        return f"after {ahead} other{'s' if ahead > 1 else ''}" if ahead else "next"
    if job.state == "failed" and job.error is not None:
        return one_line(job.error.message)
    if job.state == "running":
        return " ".join(filter(None, (_amount(job), one_line(job.phase) or "starting")))
    if job.state == "interrupted":
        return "the server ended before it"
    took_s = (job.ended or 0.0) - (job.started or job.ended or 0.0)
    return f"in {format_duration(took_s)}" if job.state == "done" else one_line(job.phase)


def _amount(job: Job) -> str:
    share = _share(job)
    if share is not None:
        return f"{share:.0%}".replace("%", " %")
    return format_bytes(job.done_bytes) if job.done_bytes else ""


def _share(job: Job) -> float | None:
    if job.state != "running" or not job.total_bytes:
        return None
    return min(1.0, job.done_bytes / job.total_bytes)


def can_cancel(job: Job) -> bool:
    """It waits or runs."""
    return not job.has_ended


def can_resume(job: Job) -> bool:
    """It ended, and not well."""
    return job.state in ("cancelled", "interrupted", "failed")


def can_forget(job: Job) -> bool:
    """It has ended."""
    return job.has_ended


def can_save(job: Job) -> bool:
    """It wrote an archive."""
    return job.state == "done" and kind_of(job.order) == "export"


def summary_text(jobs: Sequence[Job]) -> str:
    """All jobs in one line, for the place above the table."""
    if not jobs:
        return "No jobs yet. Packs, pulls, checks and exports are shown here, also those of before."
    counts = {state: sum(job.state == state for job in jobs) for state in _TONES}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)
