"""A stream that begins when there is something to send."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Callable

from starlette.requests import Request

from edgellm.errors import BackendError, EdgeLLMError
from edgellm.server.http.concealing import Concealer
from edgellm.server.http.responses import StreamResponse, unless_gone
from edgellm.server.state import state_of

__all__ = ["EVENT_STREAM", "begun_stream"]

EVENT_STREAM = "text/event-stream"

_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_log = logging.getLogger("edgellm.server")


async def begun_stream(
    request: Request,
    parts: AsyncGenerator[bytes, None],
    failed: Callable[[EdgeLLMError], bytes],
    media_type: str = EVENT_STREAM,
) -> StreamResponse:
    """``parts`` as a response, once the first one is there: what fails before raises here and has a status of its own.

    What fails later is told by the last part, which ``failed`` gives. Raises Interrupted when the client goes away
    before the first part.
    """
    try:
        first = await unless_gone(request, _next(parts))
    except BaseException:
        await parts.aclose()
        raise
    return StreamResponse(_rest(first, parts, failed, state_of(request).conceal), media_type, _HEADERS)


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(parts)


async def _rest(
    first: bytes, parts: AsyncGenerator[bytes, None], failed: Callable[[EdgeLLMError], bytes], conceal: Concealer
) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(parts):
        yield first
        try:
            async for part in parts:
                yield part
        except EdgeLLMError as error:
            yield failed(conceal.error(error))
        except Exception as error:  # noqa: BLE001  the status line is long gone
            _log.error("internal error in a stream", exc_info=error)
            yield failed(BackendError("internal error", hint="the server's log says what happened"))
