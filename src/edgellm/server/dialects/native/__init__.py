"""Our own routes, /api/edgellm/...: everything that our terminal programs show and do."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgellm.errors import EdgeLLMError
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.version import __version__

__all__ = ["NATIVE"]


def error_body(error: EdgeLLMError, status: int) -> dict[str, Any]:
    """``{"error": {"message", "hint", "status"}}``"""
    return {"error": {"message": error.message, "hint": error.hint, "status": status}}


class Version(msgspec.Struct, frozen=True):
    """Of this package."""

    version: str


@operation(answer=Version)
async def version(_request: Request) -> Response:
    """The version of this server."""
    return JSONResponse(Version(__version__))


NATIVE = Dialect(
    "native",
    ("/api/edgellm",),
    [Route("/api/edgellm/version", version, methods=["GET"])],
    error_body,
)
