"""GET / and GET /api/version"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.version import __version__

__all__ = ["root", "version"]


class Version(msgspec.Struct, frozen=True):
    """The version of edgellm."""

    version: str


@operation(answer="text/plain")
async def root(_request: Request) -> Response:
    """What clients look for to know that a server is there."""
    return PlainTextResponse("Ollama is running")


@operation(answer=Version)
async def version(_request: Request) -> Response:
    """Our own version: clients print it, and none of them compares it."""
    return JSONResponse(Version(__version__))
