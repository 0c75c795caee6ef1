"""POST /api/copy, DELETE /api/delete and POST /api/push"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from edgellm.bundle.names import parse_name
from edgellm.errors import NotFoundError, UnsupportedError, UsageError
from edgellm.server.dialects.ollama.errors import model_name, not_found
from edgellm.server.dialects.ollama.messages import CopyBody, ModelBody
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import operation
from edgellm.server.models.removal import remove_bundle
from edgellm.server.state import state_of

__all__ = ["LATEST", "copy", "delete", "push"]

LATEST = "latest"
"""The tag of names that clients of Ollama give without one."""


@operation(body=CopyBody, errors=(404, 422, 507))
async def copy(request: Request) -> Response:
    """Give a model a second name."""
    body = await read_json(request, CopyBody)
    if not body.source or not body.destination:
        raise UsageError("source and destination are required")
    name = parse_name(body.destination, default_tag=LATEST)
    state = state_of(request)
    try:
        source = await state.models.resolve(body.source)
    except NotFoundError as error:
        not_found(body.source, error)
    await asyncio.to_thread(state.store.copy, source.name, name)
    return Response(status_code=200)


@operation(body=ModelBody, errors=(404, 422, 507))
async def delete(request: Request) -> Response:
    """Take a model out of the store; what only it used is removed from the disk."""
    name = model_name(await read_json(request, ModelBody))
    state = state_of(request)
    try:
        bundle = await state.models.resolve(name)
    except NotFoundError as error:
        not_found(name, error)
    for removed in await asyncio.to_thread(remove_bundle, state.store, state.settings.paths.prefixes, bundle.name):
        await state.models.removed(removed)
    await asyncio.to_thread(state.store.gc)
    return Response(status_code=200)


@operation(body=ModelBody, errors=(501,), statuses=())
async def push(request: Request) -> Response:
    """Models are not published from here."""
    model_name(await read_json(request, ModelBody))
    raise UnsupportedError(
        "models cannot be pushed to a registry", hint="move them as files: edgellm export NAME FILE.tar"
    )
