"""The jobs of a server: queued, run one at a time, watched, cancelled, resumed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from edgellm.api.jobs import Job, JobChanges, JobError, JobState
from edgellm.api.orders import ExportOrder, Order, PackOrder
from edgellm.devices.local import available_memory_bytes
from edgellm.errors import BusyError, EdgeLLMError, NotFoundError, UsageError
from edgellm.files import os_errors
from edgellm.server.http.concealing import Concealer
from edgellm.server.jobs.commands import EXPORTED, command_line
from edgellm.server.jobs.history import JobHistory
from edgellm.server.jobs.orders import check_order, uploaded_files
from edgellm.server.jobs.process import JobProcess, Outcome
from edgellm.server.jobs.record import begin, end, enter_phase, say
from edgellm.server.jobs.seen import SeenJobs
from edgellm.server.jobs.uploads import Uploads
from edgellm.settings import SettingsWithOrigin
from edgellm.units import format_bytes

__all__ = ["JobRunner"]

_log = logging.getLogger("edgellm.server")

_LEAST_BYTES = 256 << 20
_SHARE = 0.8  # of the memory that is free when a job begins
_MOST_QUEUED = 100
_FOLLOW_PAUSE_S = 0.5
_LOOK_S = 2.0


class JobRunner:
    """All methods belong to one event loop. Nothing is read or created before the first job is asked about."""

    def __init__(
        self,
        settings: SettingsWithOrigin,
        uploads: Uploads,
        stopping: asyncio.Event,
        conceal: Concealer,
    ) -> None:
        """``stopping`` is set when the server is about to end: nobody watches any longer."""
        self._conceal = conceal
        self._settings = settings
        self.stopping = stopping
        self._uploads = uploads
        self._history = JobHistory(settings.paths.state / "jobs")
        self._known: dict[str, Job] | None = None
        self._process: JobProcess | None = None
        self._current: Job | None = None
        self._working: asyncio.Task[None] | None = None
        self._cancelled: set[str] = set()
        self._changed = asyncio.Event()
        self._closing = False
        self.revision = 0  # another one after each change of a job other than its progress

    def reconfigure(self, settings: SettingsWithOrigin) -> None:
        """Take over settings that were read again: jobs that begin later follow them."""
        self._settings = settings

    @property
    def is_working(self) -> bool:
        """True while a job of this server runs or waits."""
        return self._working is not None and not self._working.done()

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        self._adopt()
        return list(reversed(self._jobs().values()))

    def get(self, job_id: str) -> Job:
        """One job. Raises NotFoundError."""
        self._adopt()
        job = self._jobs().get(job_id)
        if job is None:
            raise NotFoundError(f"there is no job {job_id[:80]!r}", hint="GET /api/edgellm/jobs lists them")
        return job

    def start(self, order: Order) -> Job:
        """Queue a job. Raises UsageError, BusyError while another server runs the jobs or too many wait."""
        check_order(order)
        self._own()
        waiting = [job for job in self._jobs().values() if not job.has_ended]
        if len(waiting) >= _MOST_QUEUED:
            raise BusyError(f"{len(waiting)} jobs are waiting already", hint="cancel some, or wait for them to end")
        now = time.time()
        job_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}"
        job = Job(id=job_id, order=order, created=now)
        self._jobs()[job.id] = job
        for old in self._history.outdated(self._jobs()):
            self._forget(old)
        self._keep(job)
        self._work()
        return job

    def same(self, order: Order) -> Job | None:
        """The job that is doing what ``order`` asks for, or is about to."""
        return next((job for job in self.all() if job.order == order and not job.has_ended), None)

    def cancel(self, job_id: str) -> Job:
        """Stop a job; what it has downloaded stays, to be resumed. Raises UsageError for one that has ended."""
        job = self.get(job_id)
        self._own()
        if job.has_ended:
            raise UsageError(f"the job {job.id} is {job.state}: there is nothing to stop")
        self._cancelled.add(job.id)
        if job is self._current and self._process is not None:
            self._process.stop()
        elif job is not self._current:
            self._finish(job, "cancelled")
        return job

    def resume(self, job_id: str) -> Job:
        """Try a job again that was cancelled, interrupted or failed. Raises UsageError for others."""
        job = self.get(job_id)
        self._own()
        if job.state not in ("cancelled", "interrupted", "failed"):
            raise UsageError(f"the job {job.id} is {job.state}: there is nothing to resume")
        job.state, job.ended = "queued", None
        self._cancelled.discard(job.id)
        self._keep(job)
        self._work()
        return job

    def remove(self, job_id: str) -> None:
        """Forget a job that has ended, with what it wrote for a download. Raises UsageError for one that has not."""
        job = self.get(job_id)
        self._own()
        if not job.has_ended:
            raise UsageError(f"the job {job.id} is {job.state}", hint="cancel it first")
        self._forget(job)

    def output(self, job_id: str) -> Path:
        """The archive that an export wrote. Raises NotFoundError without one."""
        job = self.get(job_id)
        path = self._history.files_of(job) / EXPORTED
        if not isinstance(job.order, ExportOrder) or job.state != "done" or not path.is_file():
            raise NotFoundError(f"the job {job.id} has no output", hint="only an export that is done has one")
        return path

    async def watch(self, job: Job) -> AsyncGenerator[Job, None]:
        """``job`` now and whenever it has changed, until it or the server ends. A slow reader misses some."""
        while True:
            changed, ended = self._changed, job.has_ended
            yield job
            if ended or self.stopping.is_set():
                return
            await _first_of(changed, self.stopping)

    async def follow(self) -> AsyncGenerator[JobChanges, None]:
        """All jobs, then those that are otherwise than before, until the server ends; at most twice a second."""
        seen = SeenJobs()
        while not self.stopping.is_set():
            changed = self._changed
            changes = seen.changes(reversed(self.all()))
            if changes is not None:
                yield changes
                await _first_of(self.stopping, timeout_s=_FOLLOW_PAUSE_S)
            # what another server's jobs do, nobody tells this one: it looks at their files
            await _first_of(changed, self.stopping, timeout_s=None if self._history.is_own else _LOOK_S)

    async def close(self) -> None:
        """End what runs; it can be resumed."""
        self._closing = True
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        self._history.close()

    def _jobs(self) -> dict[str, Job]:
        """What is on the disk; while another server runs the jobs, always as it is now."""
        if self._known is None or not self._history.is_own:
            self._known = self._history.load()
        return self._known

    def _own(self) -> None:
        """Be the server that runs the jobs: whatever ran or waited before has been interrupted."""
        if self._history.is_own:
            return
        self._history.own()
        self._known = self._history.load()
        for job in self._known.values():
            if not job.has_ended:
                self._finish(job, "interrupted")

    def _adopt(self) -> None:
        """``_own``, unless another server runs the jobs."""
        with contextlib.suppress(EdgeLLMError):
            self._own()

    def _work(self) -> None:
        if self._working is None or self._working.done():
            self._working = asyncio.ensure_future(self._run_all())
            self._working.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("internal error in a job", exc_info=error)
            self._work()  # the others go on

    async def _run_all(self) -> None:
        while not self._closing:
            job = next((job for job in self._jobs().values() if job.state == "queued"), None)
            if job is None:
                return
            self._current = job
            try:
                await self._run(job)
            finally:
                self._current = self._process = None
            await self._tidy(job)

    async def _run(self, job: Job) -> None:
        begin(job, time.time())
        self._keep(job)
        process = self._process = JobProcess(lambda event: self._told(job, event))
        try:
            command, folder = await asyncio.to_thread(self._prepare, job)
            if job.id in self._cancelled:
                process.stop()
            outcome = await process.run(command, folder, self._environment(), await asyncio.to_thread(_memory_bytes))
        except EdgeLLMError as error:
            told = self._conceal.error(error)
            job.error = JobError(type(error).__name__, told.message, told.hint)
            self._finish(job, "failed")
        except asyncio.CancelledError:
            self._finish(job, "interrupted")
            raise
        else:
            self._ended(job, outcome)
        finally:
            if not job.has_ended:  # a fault of ours, which the log tells
                job.error = JobError("BackendError", "internal error", "the server's log says what happened")
                self._finish(job, "failed")

    async def _tidy(self, job: Job) -> None:
        """What it read goes: it is linked anew when it is tried again."""
        if not isinstance(job.order, ExportOrder):
            await asyncio.to_thread(self._history.remove_files, job)
        try:
            removed_bytes = await asyncio.to_thread(self._uploads.discard, self._unneeded(job))
        except EdgeLLMError as error:
            say(job, f"the uploaded files are still there: {self._conceal.error(error).message}")
        else:
            if not removed_bytes or job.id not in self._jobs():
                return
            say(job, f"removed the copies of the files that were handed over: {format_bytes(removed_bytes)}")
        self._keep(job)

    def _unneeded(self, job: Job) -> set[str]:
        """The uploaded files that nobody wants to keep and no job needs, now that ``job`` is done or forgotten."""
        jobs = self._jobs()
        if not isinstance(job.order, PackOrder) or not job.order.remove_files:
            return set()
        needing = (other for other in jobs.values() if other.state != "done")
        return uploaded_files(job.order) - {digest for other in needing for digest in uploaded_files(other.order)}

    def _prepare(self, job: Job) -> tuple[list[str], Path]:
        """The command, and an empty folder to run it in: nothing that it is told can name a file there."""
        files = self._history.files_of(job)
        folder = files / "work"
        with os_errors(f"write {folder}"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return command_line(job.order, files, self._uploads.find), folder

    def _environment(self) -> dict[str, str]:
        """That of this server, with the folders and the device that it was started with."""
        paths, values = self._settings.paths, self._settings.values
        found = {**os.environ, "EDGELLM_STORE": str(paths.store), "EDGELLM_STATE": str(paths.state)}
        found["EDGELLM_SYSTEM_STORE"] = str(paths.system_store or "")
        if values.device is not None:
            found["EDGELLM_DEVICE"] = values.device
        return found

    def _told(self, job: Job, event: dict[str, Any]) -> None:
        """What the child says."""
        match event.get("event"):
            case "phase":
                enter_phase(job, str(event.get("name")), event.get("total_bytes"), time.time())
            case "progress":
                job.done_bytes = int(event.get("done_bytes") or 0)
            case "file":
                job.digest = event.get("digest")
            case "message" | "warning":
                say(job, self._conceal.text(str(event.get("text"))))
        self._tell()

    def _ended(self, job: Job, outcome: Outcome) -> None:
        if outcome.status == 0:
            job.result = outcome.result
            self._finish(job, "done")
        elif job.id in self._cancelled:
            self._finish(job, "cancelled")
        else:
            job.error = self._error_of(outcome)
            self._finish(job, "failed")

    def _error_of(self, outcome: Outcome) -> JobError:
        if outcome.error is not None:
            event = outcome.error
            return JobError(
                str(event.get("type")),
                self._conceal.text(str(event.get("message"))),
                None if event.get("hint") is None else self._conceal.text(str(event["hint"])),
            )
        if outcome.status < 0:
            hint = "most likely memory ran out: close other programs, or choose a smaller recipe"
            return JobError("BackendError", f"the job's process was ended by signal {-outcome.status}", hint)
        return JobError(
            "BackendError",
            f"the job ended with status {outcome.status}: {self._conceal.text(outcome.noise) or 'no output'}",
        )

    def _finish(self, job: Job, state: JobState) -> None:
        end(job, state, time.time())
        self._cancelled.discard(job.id)
        self._keep(job)

    def _keep(self, job: Job) -> None:
        """A disk that is full costs the history, not the job."""
        self.revision += 1
        try:
            self._history.save(job)
        except EdgeLLMError as error:
            say(job, f"this job's state was not kept: {self._conceal.error(error).message}")
        self._tell()

    def _forget(self, job: Job) -> None:
        self.revision += 1
        self._jobs().pop(job.id, None)
        self._history.remove(job)
        with contextlib.suppress(EdgeLLMError):  # `edgellm gc --cache` removes what stays
            self._uploads.discard(self._unneeded(job))
        self._tell()

    def _tell(self) -> None:
        """Wake those who watch."""
        self._changed.set()
        self._changed = asyncio.Event()


async def _first_of(*events: asyncio.Event, timeout_s: float | None = None) -> None:
    """Wait until one of them is set, or so long."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _memory_bytes() -> int:
    free_bytes = available_memory_bytes()
    return max(_LEAST_BYTES, int((free_bytes or 0) * _SHARE))
