"""Requests without a prompt: they load a model, or unload it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import NotFoundError
from edgellm.server.dialects.ollama.answering import using
from edgellm.server.dialects.ollama.errors import not_found
from edgellm.server.dialects.ollama.replies import Reply
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.state import state_of

__all__ = ["load_or_unload"]


async def load_or_unload(
    request: Request, name: str, keep_alive_s: float | None, n_context: int | None, reply: Reply
) -> Response:
    """Have ``name`` loaded; with a keep_alive of 0 have it unloaded."""
    state = state_of(request)
    if keep_alive_s == 0:
        try:
            await state.models.unload(name)
        except NotFoundError as error:
            not_found(name, error)
        return JSONResponse(reply.without_answer("unload"))

    async def load() -> None:
        async with using(state, name, keep_alive_s, n_context):
            pass

    await unless_gone(request, load())
    return JSONResponse(reply.without_answer("load"))
