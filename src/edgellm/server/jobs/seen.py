"""What a reader of all jobs has seen already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgellm.api.jobs import Job, JobChanges

__all__ = ["SeenJobs"]


class SeenJobs:
    """The jobs as one reader knows them."""

    def __init__(self) -> None:
        self._seen: dict[str, Any] | None = None

    def changes(self, jobs: Iterable[Job]) -> JobChanges | None:
        """What is otherwise than at the last call, of all ``jobs`` there are; None where nothing is."""
        now = {job.id: job for job in jobs}
        marks = {job_id: _mark(job) for job_id, job in now.items()}
        before, self._seen = self._seen, marks
        if before is None:
            return JobChanges(list(now.values()), is_whole=True)
        changed = [job for job_id, job in now.items() if before.get(job_id) != marks[job_id]]
        removed = [job_id for job_id in before if job_id not in now]
        return JobChanges(changed, removed) if changed or removed else None


def _mark(job: Job) -> Any:
    """Differs for the same job once something has happened to it."""
    return (
        *(job.state, job.attempts, job.phase, job.phase_started, job.done_bytes, job.total_bytes, job.digest),
        *(len(job.messages), job.messages[-1:]),
    )
