"""GET /health, and what this server does not have of llama-server's."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import UnsupportedError
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.models.health import Health, server_health
from edgellm.server.state import state_of

__all__ = ["health", "not_here"]


@operation(answer=Health)
async def health(request: Request) -> Response:
    """That the server answers, and how its models are."""
    state = state_of(request)
    return JSONResponse(server_health(state.models, state.conceal))


@operation(errors=(501,), statuses=())
async def not_here(request: Request) -> Response:
    """A route of llama-server's that this server does not have."""
    raise UnsupportedError(f"{request.method} {request.url.path} is not available here")
