"""Our own routes, /api/edgellm/...: everything that our terminal programs show and do."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgellm.api.errors import ErrorBody, ErrorText
from edgellm.api.models import ModelStatus, StopAnswer, StopRequest
from edgellm.api.server import KeptAnswer
from edgellm.errors import EdgeLLMError
from edgellm.running import RunningServer
from edgellm.server.dialects.native.chat import chat
from edgellm.server.dialects.native.devices import DEVICE_ROUTES
from edgellm.server.dialects.native.fit import FIT_ROUTES
from edgellm.server.dialects.native.jobs import JOB_ROUTES
from edgellm.server.dialects.native.models import MODEL_ROUTES
from edgellm.server.dialects.native.run import run
from edgellm.server.dialects.native.watching import WATCHING_ROUTES
from edgellm.server.http.body import read_json
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.state import state_of
from edgellm.version import __version__

__all__ = ["NATIVE"]


def error_body(error: EdgeLLMError, status: int) -> ErrorBody:
    """``{"error": {"message", "hint", "status", "kind"}}``; ``kind`` is the error's name in our tree."""
    return ErrorBody(ErrorText(error.message, error.hint, status, type(error).__name__))


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


NATIVE = Dialect(
    "native",
    ("/api/edgellm",),
    [
        Route("/api/edgellm/version", version, methods=["GET"]),
        Route("/api/edgellm/server", server, methods=["GET"]),
        Route("/api/edgellm/keep", keep, methods=["POST"]),
        Route("/api/edgellm/ps", loaded, methods=["GET"]),
        Route("/api/edgellm/stop", stop, methods=["POST"]),
        Route("/api/edgellm/run", run, methods=["POST"]),
        Route("/api/edgellm/chat", chat, methods=["POST"]),
        *JOB_ROUTES,
        *MODEL_ROUTES,
        *FIT_ROUTES,
        *DEVICE_ROUTES,
        *WATCHING_ROUTES,
    ],
    error_body,
    error=ErrorBody,
)
