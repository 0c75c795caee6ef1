"""POST /api/pull"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.orders import PullOrder
from edgellm.errors import NotFoundError, UsageError
from edgellm.server.dialects.ollama.answering import NDJSON
from edgellm.server.dialects.ollama.errors import model_name
from edgellm.server.dialects.ollama.lines import encode_line
from edgellm.server.dialects.ollama.messages import PullBody
from edgellm.server.dialects.ollama.progress import Status, run_jobs
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, StreamResponse
from edgellm.server.state import state_of
from edgellm.sources.hub.reference import parse_hub_reference

__all__ = ["pull"]

_LATEST = ":latest"


@operation(body=PullBody, answer=Status, stream=NDJSON, errors=(*MODEL_ERRORS, 502))
async def pull(request: Request) -> Response:
    """Fetch a model of a hub and make it ready for this machine, with progress."""
    body = await read_json(request, PullBody)
    name = model_name(body).removesuffix(_LATEST)
    stream = body.stream is not False
    try:
        reference = parse_hub_reference(name)
    except UsageError as error:
        return await _here(request, name, stream, error)
    order = PullOrder(model=str(reference))
    return await run_jobs(request, [order], stream=stream, first="pulling manifest")


async def _here(request: Request, name: str, stream: bool, error: UsageError) -> Response:
    """A name that no hub knows is fine when the store has it. Raises NotFoundError."""
    try:
        await state_of(request).models.resolve(name)
    except (NotFoundError, UsageError):
        raise NotFoundError(
            f"model '{name}' not found: it is not in the store, and no hub has a model of that name",
            hint="pull OWNER/MODEL or OWNER/MODEL:QUANT of a hub, such as hf.co/OWNER/MODEL:Q4_K_M",
        ) from error
    if not stream:
        return JSONResponse(Status("success"))
    return StreamResponse(_two_lines(), NDJSON)


async def _two_lines() -> AsyncGenerator[bytes, None]:
    yield encode_line(Status("pulling manifest"))
    yield encode_line(Status("success"))
