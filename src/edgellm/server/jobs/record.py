"""What happens to a job, written into it."""

from __future__ import annotations

from edgellm.api.jobs import Job, JobPhase, JobState

__all__ = ["begin", "end", "enter_phase", "say"]

_MOST_MESSAGES = 100
_LONGEST_MESSAGE = 4000
_MOST_PHASES = 100


def begin(job: Job, now: float) -> None:
    """A new attempt begins; what the last one said is forgotten. ``now``: seconds since the epoch."""
    job.state, job.started, job.ended = "running", now, None
    job.attempts += 1
    job.messages, job.phases, job.result, job.error = [], [], None, None
    job.phase, job.phase_started, job.done_bytes, job.total_bytes, job.digest = "", None, 0, None, None


def enter_phase(job: Job, name: str, total_bytes: int | None, now: float) -> None:
    """The phase before is over, another one begins."""
    _leave_phase(job, now)
    job.phase, job.phase_started, job.done_bytes, job.total_bytes = name, now, 0, total_bytes


def say(job: Job, text: str) -> None:
    """Keep a line for the user; the oldest go when there are many."""
    job.messages.append(text[:_LONGEST_MESSAGE])
    del job.messages[:-_MOST_MESSAGES]


def end(job: Job, state: JobState, now: float) -> None:
    """Nothing more happens to it. Its last phase stays what it was in."""
    _leave_phase(job, now)
    job.state, job.ended, job.phase_started = state, now, None


def _leave_phase(job: Job, now: float) -> None:
    """The oldest go when there are many."""
    if job.phase_started is not None:
        job.phases.append(JobPhase(job.phase, job.phase_started, now, job.done_bytes))
        del job.phases[:-_MOST_PHASES]
