"""GET / and GET /api/version"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from edgellm.server.http.responses import JSONResponse
from edgellm.version import __version__

__all__ = ["root", "version"]


async def root(_request: Request) -> Response:
    """What clients look for to know that a server is there."""
    return PlainTextResponse("Ollama is running")


async def version(_request: Request) -> Response:
    """Our own version: clients print it, and none of them compares it."""
    return JSONResponse({"version": __version__})
