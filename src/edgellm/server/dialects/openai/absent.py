"""What this server does not have of OpenAI's."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import UnsupportedError
from edgellm.server.http.operation import operation

__all__ = ["not_here", "not_kept"]


@operation(documented=False)
async def not_here(request: Request) -> Response:
    """A route of OpenAI's that this server does not have."""
    raise UnsupportedError(f"{request.method} {request.url.path} is not available here")


@operation(errors=(501,), statuses=())
async def not_kept(request: Request) -> Response:
    """Chats and responses of before: this server keeps none."""
    raise UnsupportedError(f"{request.url.path} keeps nothing that could be asked for with {request.method}")
