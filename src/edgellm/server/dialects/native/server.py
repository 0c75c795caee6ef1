"""What the server is, what it has loaded, and unloading that."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.models import ModelStatus, StopAnswer, StopRequest
from edgellm.api.server import KeptAnswer
from edgellm.running import RunningServer
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.state import state_of
from edgellm.version import __version__

__all__ = ["keep", "loaded", "server", "stop", "version"]


class Version(msgspec.Struct, frozen=True):
    """Of this package."""

    version: str


@operation(answer=Version)
async def version(_request: Request) -> Response:
    """The version of this server."""
    return JSONResponse(Version(__version__))


@operation(answer=RunningServer)
async def server(request: Request) -> Response:
    """Where this server answers, which store it serves, its process and version."""
    return JSONResponse(state_of(request).running)


@operation(answer=KeptAnswer)
async def keep(request: Request) -> Response:
    """A server that would end once nobody needs it (`serve --until-idle`) stays, until a signal ends it."""
    state_of(request).idle_end.keep()
    return JSONResponse(KeptAnswer(kept=True))


@operation(answer=list[ModelStatus])
async def loaded(request: Request) -> Response:
    """The models in memory."""
    return JSONResponse(await state_of(request).models.statuses())


@operation(body=StopRequest, answer=StopAnswer, errors=(404, 422))
async def stop(request: Request) -> Response:
    """Unload a model as soon as its requests are done; ``unloaded`` is False while they are not."""
    body = await read_json(request, StopRequest)
    return JSONResponse(StopAnswer(await state_of(request).models.unload(body.model)))
