"""All routes as one ASGI application."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import BackendError, EdgeLLMError, NotFoundError, UsageError
from edgellm.server.dialects import DIALECTS
from edgellm.server.http.dialect import dialect_of
from edgellm.server.http.responses import JSONResponse
from edgellm.server.state import ServerState

__all__ = ["create_app"]

_log = logging.getLogger("edgellm.server")


def create_app(state: ServerState) -> Starlette:
    """The application over ``state``, which it closes at its end."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        state.open()
        try:
            yield
        finally:
            await state.close()

    app = Starlette(
        routes=[route for dialect in DIALECTS for route in dialect.routes],
        exception_handlers={EdgeLLMError: _known, HTTPException: _unrouted, Exception: _unknown},
        lifespan=lifespan,
    )
    app.state.server = state
    return app


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, EdgeLLMError)
    return _answer(request, error, error.http_status)


async def _unrouted(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _answer(request, NotFoundError(f"there is no {request.url.path}"), 404)
    told = UsageError(f"{request.url.path} cannot be asked with {request.method}")
    response = _answer(request, told, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _unknown(request: Request, error: Exception) -> Response:
    """A fault of ours: the log says what, the client does not learn it."""
    _log.error("internal error at %s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, BackendError("internal error", hint="the server's log says what happened"), 500)


def _answer(request: Request, error: EdgeLLMError, status: int) -> Response:
    return JSONResponse(dialect_of(DIALECTS, request.url.path).error_body(error, status), status)
