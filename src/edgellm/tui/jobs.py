"""Jobs as the dialogs of models start and follow them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from pathlib import Path
from typing import Any

import msgspec

from edgellm.api.jobs import Job
from edgellm.errors import BackendError, Interrupted, UsageError
from edgellm.files import os_errors
from edgellm.paths import user_path
from edgellm.tui.connection import Connection

__all__ = ["export_to", "fetch_archive", "free_path", "start_job", "watch_job"]

_JOBS = "/api/edgellm/jobs"


async def start_job(connection: Connection, order: dict[str, Any]) -> Job:
    """Queue what ``order`` says (see docs/guides/jobs.md). Raises what the server says."""
    return await connection.post(_JOBS, order, Job)


async def watch_job(connection: Connection, job: Job) -> Job:
    """Wait for its end. Raises what it failed with."""
    async with contextlib.aclosing(
        connection.lines(f"{_JOBS}/{job.id}/events", None, msgspec.json.Decoder(Job))
    ) as states:
        async for state in states:
            job = state
    if job.state == "done":
        return job
    if job.state in ("queued", "running"):
        raise BackendError("the server ended before the job", hint="it can be resumed in Jobs")
    if job.error is not None:
        raise job.error.exception()
    raise Interrupted(f"the job {job.id} was {job.state}", hint="resume it in Jobs")


async def export_to(connection: Connection, name: str, path: Path) -> int:
    """Have ``name`` exported, and bring the archive to ``path``; see ``fetch_archive``. Raises what the job does."""
    job = await watch_job(connection, await start_job(connection, {"kind": "export", "names": [name]}))
    return await fetch_archive(connection, job.id, path)


async def fetch_archive(connection: Connection, job_id: str, path: Path) -> int:
    """Bring the archive that an export wrote to the new file ``path``, which has its name once it is complete.

    Returns its size in bytes. Raises what the server says, AccessError, NoSpaceError.
    """
    client = await connection.client()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    size_bytes = 0
    try:
        with os_errors(f"write {path}"):
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb", buffering=0) as sink:  # closing has nothing to write, and cannot fail
            async with contextlib.aclosing(client.download(f"{_JOBS}/{job_id}/output")) as parts:
                async for piece in parts:
                    with os_errors(f"write {path}"):
                        await asyncio.to_thread(_write_all, sink, piece)
                    size_bytes += len(piece)
            with os_errors(f"write {path}"):
                await asyncio.to_thread(os.fsync, sink.fileno())
                part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return size_bytes


def _write_all(sink: io.RawIOBase | io.FileIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[sink.write(view) or 0 :]


def free_path(text: str) -> Path:
    """What was typed as the name of a new file. Raises UsageError where something is there, or no folder is."""
    path = user_path(text).absolute()
    if path.exists():
        raise UsageError(f"{path} is there already", hint="choose another name")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", hint="choose one that is there")
    return path
