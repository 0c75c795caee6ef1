"""Our own routes, /api/edgellm/...: everything that our terminal programs show and do."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgellm.errors import EdgeLLMError
from edgellm.server.dialects.native.jobs import JOB_ROUTES
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.responses import JSONResponse
from edgellm.version import __version__

__all__ = ["NATIVE"]


def error_body(error: EdgeLLMError, status: int) -> dict[str, Any]:
    """``{"error": {"message", "hint", "status"}}``"""
    return {"error": {"message": error.message, "hint": error.hint, "status": status}}


async def version(_request: Request) -> Response:
    """The version of this server."""
    return JSONResponse({"version": __version__})


NATIVE = Dialect(
    "native",
    ("/api/edgellm",),
    [Route("/api/edgellm/version", version, methods=["GET"]), *JOB_ROUTES],
    error_body,
)
