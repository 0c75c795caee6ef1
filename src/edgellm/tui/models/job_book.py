"""All jobs of a server as its stream tells of them."""

from __future__ import annotations

from edgellm.api.jobs import Job, JobChanges
from edgellm.tui.models.job_rows import JobRow, job_row, summary_text
from edgellm.tui.models.speed import SpeedMeter

__all__ = ["JobBook"]


class JobBook:
    """The jobs that are known, and how fast those go that run."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}  # by id, the oldest first: ids begin with their time
        self._meters: dict[str, SpeedMeter] = {}

    def take(self, changes: JobChanges, clock_s: float) -> None:
        """Take over what the server told; ``clock_s`` is of a clock that only goes forward."""
        if changes.is_whole:
            self._jobs.clear()
        for job in changes.jobs:
            self._jobs[job.id] = job
            if job.state == "running":
                meter = self._meters.setdefault(job.id, SpeedMeter())
                meter.look(clock_s, (job.attempts, len(job.phases), job.phase), job.done_bytes)
        for job_id in changes.removed:
            self._jobs.pop(job_id, None)
        self._jobs = dict(sorted(self._jobs.items()))
        self._meters = {job_id: meter for job_id, meter in self._meters.items() if self._runs(job_id)}

    def get(self, job_id: str | None) -> Job | None:
        """One job."""
        return None if job_id is None else self._jobs.get(job_id)

    def meter(self, job_id: str) -> SpeedMeter | None:
        """How fast a job goes that runs."""
        return self._meters.get(job_id)

    def rows(self, now_s: float) -> list[JobRow]:
        """What runs, then what waits in its order, then what has ended, the newest first."""
        jobs = list(self._jobs.values())
        running = [job for job in jobs if job.state == "running"]
        queued = [job for job in jobs if job.state == "queued"]
        ended = [job for job in reversed(jobs) if job.has_ended]
        return [
            *(job_row(job, now_s, self._meters.get(job.id)) for job in running),
            *(job_row(job, now_s, ahead=len(running) + place) for place, job in enumerate(queued)),
            *(job_row(job, now_s) for job in ended),
        ]

    def summary(self) -> str:
        """All of them in one line."""
        return summary_text(list(self._jobs.values()))

    @property
    def is_working(self) -> bool:
        """True while one runs or waits."""
        return any(not job.has_ended for job in self._jobs.values())

    def _runs(self, job_id: str) -> bool:
        job = self._jobs.get(job_id)
        return job is not None and job.state == "running"
