"""All routes as one ASGI application."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Scope

from edgellm.errors import BackendError, EdgeLLMError, NotFoundError, UsageError
from edgellm.server.dialects import DIALECTS
from edgellm.server.http.errors import error_response
from edgellm.server.security.guard import Guard
from edgellm.server.state import ServerState, state_of
from edgellm.server.telemetry.watch import Watch

__all__ = ["create_app"]

_log = logging.getLogger("edgellm.server")


def create_app(state: ServerState) -> ASGIApp:
    """The application over ``state``, which it closes at its end. Raises UsageError where nobody is kept out."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        state.open()
        try:
            async with state.telemetry.watching():
                yield
        finally:
            await state.close()

    routes = [route for dialect in DIALECTS for route in dialect.routes]
    app = Starlette(
        routes=routes,
        exception_handlers={EdgeLLMError: _known, HTTPException: _unrouted, Exception: _unknown},
        lifespan=lifespan,
    )
    app.state.server = state
    keyless = frozenset(path for dialect in DIALECTS for path in dialect.keyless)
    refuse = partial(error_response, DIALECTS)
    guarded = Guard(app, state.access, refuse, keyless)
    names = {route.endpoint: route.path for route in reversed(routes)}
    return Watch(
        guarded,
        state.telemetry,
        refuse,
        names,
        max_header_bytes=state.config.limits.max_header_bytes,
        keeps_content=state.config.log_content,
    )


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, EdgeLLMError)
    told = state_of(request).conceal.error(error)
    return error_response(DIALECTS, request.url.path, told, error.http_status)


async def _unrouted(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return error_response(DIALECTS, request.url.path, NotFoundError(f"there is no {request.url.path}"), 404)
    told = UsageError(f"{request.url.path} cannot be asked with {request.method}")
    response = error_response(DIALECTS, request.url.path, told, error.status_code)
    response.headers["allow"] = ", ".join(sorted(_methods(request.scope)))
    return response


def _methods(scope: Scope) -> set[str]:
    """How the path can be asked: several routes may share it."""
    routes = [route for dialect in DIALECTS for route in dialect.routes]
    return {method for route in routes if route.matches(scope)[0] is not Match.NONE for method in route.methods or ()}


async def _unknown(request: Request, error: Exception) -> Response:
    """A fault of ours: the log says what, the client does not learn it."""
    _log.error("internal error at %s %s", request.method, request.url.path, exc_info=error)
    told = BackendError("internal error", hint="the server's log says what happened")
    return error_response(DIALECTS, request.url.path, told, 500)
