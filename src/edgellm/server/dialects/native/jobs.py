"""/api/edgellm/jobs: long work, started, watched, stopped and taken up again."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import AsyncGenerator
from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from edgellm.api.jobs import Job, JobList, RemovedJob
from edgellm.api.orders import Order, PackOrder
from edgellm.errors import UnsupportedError
from edgellm.pip import PACK_EXTRA, pip_install
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse, StreamResponse, event_stream
from edgellm.server.state import state_of

__all__ = ["cancel", "events", "follow", "list_jobs", "output", "pack_sources", "remove", "resume", "show", "start"]

_NDJSON = "application/x-ndjson"
_CHECKPOINT = (".safetensors", ".safetensors.index.json")


def pack_sources() -> list[str]:
    """The kinds of models that can be packed here; those of checkpoints need the extra."""
    has_extra = all(importlib.util.find_spec(name) is not None for name in ("tokenizers", "sentencepiece"))
    return ["gguf", "checkpoint"] if has_extra else ["gguf"]


@operation(answer=JobList)
async def list_jobs(request: Request) -> Response:
    """All jobs, the newest first, and what a pack may start from here."""
    return JSONResponse(JobList(state_of(request).jobs.all(), pack_sources()))


@operation(body=Order, answer=Job, statuses=(201,), errors=(501, 503, 507))
async def start(request: Request) -> Response:
    """Queue a job."""
    order: Order = await read_json(request, cast("type[Order]", Order))  # a union, which msgspec decodes
    _refuse_missing_extra(order)
    return JSONResponse(state_of(request).jobs.start(order), 201)


@operation(answer=Job, errors=(404,))
async def show(request: Request) -> Response:
    """One job."""
    return JSONResponse(_job(request))


@operation(answer=RemovedJob, errors=(400, 404, 503))
async def remove(request: Request) -> Response:
    """Forget a job that has ended."""
    state_of(request).jobs.remove(request.path_params["id"])
    return JSONResponse(RemovedJob(request.path_params["id"]))


@operation(answer=Job, statuses=(202,), errors=(400, 404, 503))
async def cancel(request: Request) -> Response:
    """Stop a job."""
    return JSONResponse(state_of(request).jobs.cancel(request.path_params["id"]), 202)


@operation(answer=Job, statuses=(202,), errors=(400, 404, 503))
async def resume(request: Request) -> Response:
    """Try a job again that did not end well."""
    return JSONResponse(state_of(request).jobs.resume(request.path_params["id"]), 202)


@operation(answer="text/event-stream")
async def follow(request: Request) -> Response:
    """All jobs, then those that are new, otherwise or forgotten, as server-sent events until the server ends."""
    return event_stream(state_of(request).jobs.follow())


@operation(answer=_NDJSON, errors=(404,))
async def events(request: Request) -> Response:
    """The job now and after each change, a line of JSON each, until it has ended."""
    job = _job(request)
    return StreamResponse(_lines(state_of(request).jobs.watch(job)), _NDJSON)


@operation(answer="application/x-tar", errors=(404,))
async def output(request: Request) -> Response:
    """The archive that an export wrote."""
    path = state_of(request).jobs.output(request.path_params["id"])
    return FileResponse(path, media_type="application/x-tar", filename=f"{request.path_params['id']}.tar")


async def _lines(changes: AsyncGenerator[Job, None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(changes):
        async for job in changes:
            yield msgspec.json.encode(job) + b"\n"


def _job(request: Request) -> Job:
    return state_of(request).jobs.get(request.path_params["id"])


def _refuse_missing_extra(order: Any) -> None:
    """Before anything is sent or fetched. Raises UnsupportedError."""
    if not isinstance(order, PackOrder) or "checkpoint" in pack_sources():
        return
    if any(name.lower().endswith(_CHECKPOINT) for name in order.files):
        raise UnsupportedError(
            "checkpoints are packed with packages that are not installed here",
            hint=f"{pip_install(PACK_EXTRA)}; or give a GGUF file, which needs no extra",
        )
