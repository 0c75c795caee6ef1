"""Jobs as the dialogs of models start and follow them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from edgellm.api.errors import ErrorText
from edgellm.errors import BackendError, EdgeLLMError, Interrupted
from edgellm.files import os_errors
from edgellm.tui.connection import Connection

__all__ = ["JobState", "export_to", "start_job", "watch_job"]

_JOBS = "/api/edgellm/jobs"


class JobState(msgspec.Struct, frozen=True):
    """What the dialogs need to know of a job."""

    id: str
    state: str
    error: dict[str, Any] | None = None
    messages: list[str] = []

    def failure(self) -> EdgeLLMError:
        """Why it did not end well."""
        if self.state in ("cancelled", "interrupted"):
            return Interrupted(f"the job {self.id} was {self.state}", hint="resume it in Jobs")
        error = self.error or {}
        return ErrorText(
            str(error.get("message", "the job failed")), error.get("hint"), kind=str(error.get("type", ""))
        ).as_error()


async def start_job(connection: Connection, order: dict[str, Any]) -> JobState:
    """Queue what ``order`` says (see docs/guides/jobs.md). Raises what the server says."""
    return await connection.post(_JOBS, order, JobState)


async def watch_job(connection: Connection, job: JobState) -> JobState:
    """Wait for its end. Raises what it failed with."""
    async with contextlib.aclosing(
        connection.lines(f"{_JOBS}/{job.id}/events", None, msgspec.json.Decoder(JobState))
    ) as states:
        async for state in states:
            job = state
    if job.state == "done":
        return job
    if job.state in ("queued", "running"):
        raise BackendError("the server ended before the job", hint="it can be resumed in Jobs")
    raise job.failure()


async def export_to(connection: Connection, name: str, path: Path) -> int:
    """Have ``name`` exported, and bring the archive to ``path``. Returns its size in bytes.

    The file has its name once it is complete. Raises what the job does, AccessError, NoSpaceError.
    """
    job = await watch_job(connection, await start_job(connection, {"kind": "export", "names": [name]}))
    client = await connection.client()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    size_bytes = 0
    try:
        with os_errors(f"write {path}"):
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as sink:
            async with contextlib.aclosing(client.download(f"{_JOBS}/{job.id}/output")) as parts:
                async for piece in parts:
                    with os_errors(f"write {path}"):
                        await asyncio.to_thread(sink.write, piece)
                    size_bytes += len(piece)
            with os_errors(f"write {path}"):
                sink.flush()
                await asyncio.to_thread(os.fsync, sink.fileno())
                part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return size_bytes
