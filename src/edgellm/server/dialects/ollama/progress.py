"""Jobs as Ollama's clients watch them: lines of status, with sizes where bytes move."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import ClassVar, Self

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.jobs import Job
from edgellm.api.orders import Order
from edgellm.errors import BackendError, EdgeLLMError, Interrupted
from edgellm.server.dialects.ollama.answering import NDJSON
from edgellm.server.dialects.ollama.errors import error_body
from edgellm.server.dialects.ollama.lines import encode_line
from edgellm.server.http.responses import JSONResponse, StreamResponse, unless_gone
from edgellm.server.jobs.runner import JobRunner
from edgellm.server.state import state_of

__all__ = ["Status", "run_jobs"]


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a job is. ``digest`` is of the file that is fetched; ``total`` and ``completed`` are bytes."""

    status: str
    digest: str = ""
    total: int | None = None
    completed: int | None = None


_SUCCESS = Status("success")


async def run_jobs(
    request: Request,
    orders: Sequence[Order],
    *,
    stream: bool,
    first: str,
    afterwards: Callable[[], Awaitable[None]] | None = None,
) -> Response:
    """Do what ``orders`` say, one after the other, while the client watches; ``first`` is the first status.

    ``afterwards`` is called in any case once all are done, or one has failed.

    Who asks for what is being done watches that. When the last who watches goes away the job stops; what it has
    downloaded is kept for the next time.
    """
    jobs = state_of(request).jobs
    begun = _Watched(jobs, orders[0])  # what cannot begin has a status of its own
    watched = (begun if number == 0 else _Watched(jobs, order) for number, order in enumerate(orders))
    changes = _all_changes(watched, afterwards)
    if not stream:
        return JSONResponse(await unless_gone(request, _last(changes)))
    return StreamResponse(_lines(changes, first), NDJSON)


class _Watched:
    """A job that goes on while somebody watches it: use it as a context manager for as long as that is.

    What was started as a job of its own goes on in any case.
    """

    watchers: ClassVar[dict[str, int]] = {}  # of jobs that were started here, in this process: ids are unique

    def __init__(self, jobs: JobRunner, order: Order) -> None:
        self._jobs = jobs
        known = jobs.same(order)
        self.job = known or jobs.start(order)
        if known is None:
            self.watchers[self.job.id] = 0

    def __enter__(self) -> Self:
        if self.job.id in self.watchers:
            self.watchers[self.job.id] += 1
        return self

    def __exit__(self, *_exception: object) -> None:
        left = self.watchers.get(self.job.id, 0)
        if left > 1:
            self.watchers[self.job.id] = left - 1
        elif left == 1:
            del self.watchers[self.job.id]
            if not self.job.has_ended and not self._jobs.stopping.is_set():  # else it is interrupted
                self._jobs.cancel(self.job.id)

    def changes(self) -> AsyncGenerator[Job, None]:
        """See JobRunner.watch."""
        return self._jobs.watch(self.job)


async def _all_changes(
    all_watched: Iterable[_Watched], afterwards: Callable[[], Awaitable[None]] | None
) -> AsyncGenerator[Job, None]:
    """The changes of one job after the other. Raises what one fails with, and BackendError when the server ends."""
    try:
        for watched in all_watched:
            with watched:
                async with contextlib.aclosing(watched.changes()) as changes:
                    async for job in changes:
                        yield job
                        if job.has_ended:
                            _raise_failure(job)
                if not watched.job.has_ended:
                    raise _stopped()
    finally:
        if afterwards is not None:
            await afterwards()


async def _last(changes: AsyncGenerator[Job, None]) -> Status:
    async with contextlib.aclosing(changes):
        async for _job in changes:
            pass
    return _SUCCESS


async def _lines(changes: AsyncGenerator[Job, None], first: str) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(changes):
        yield encode_line(Status(first))
        said: Status | None = None
        try:
            async for job in changes:
                line = _line(job)
                if line is not None and line != said:
                    yield encode_line(line)
                    said = line
        except EdgeLLMError as error:
            yield encode_line(error_body(error, error.http_status))
            return
        yield encode_line(_SUCCESS)


def _line(job: Job) -> Status | None:
    """What a job does now; None when there is nothing to say."""
    if job.state == "queued":
        return Status("waiting for another job")
    if not job.phase or job.has_ended:
        return None
    if not job.total_bytes:
        return Status(job.phase)
    return Status(job.phase, job.digest or "", job.total_bytes, min(job.done_bytes, job.total_bytes))


def _raise_failure(job: Job) -> None:
    if job.state == "done":
        return
    if job.error is not None:
        raise job.error.exception()
    if job.state == "cancelled":
        raise Interrupted("the job was cancelled")
    raise _stopped()


def _stopped() -> BackendError:
    return BackendError("the server ended before the job", hint="ask again: it goes on where it was")
