"""Server-sent events."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec
from starlette.requests import Request

from edgellm.errors import EdgeLLMError
from edgellm.server.dialects.openai.errors import error_body, internal_error
from edgellm.server.http.responses import StreamResponse, unless_gone

__all__ = ["DONE", "data", "error_data", "event_stream"]

DONE = b"data: [DONE]\n\n"
_log = logging.getLogger("edgellm.server")
_encode = msgspec.json.Encoder().encode


def data(value: Any) -> bytes:
    """One event that is its data alone."""
    return b"data: " + _encode(value) + b"\n\n"


def error_data(error: EdgeLLMError) -> bytes:
    """What ends a stream that failed."""
    return data(error_body(error, error.http_status)) + DONE


async def event_stream(
    request: Request, parts: AsyncGenerator[bytes, None], failed: Callable[[EdgeLLMError], bytes] = error_data
) -> StreamResponse:
    """``parts`` as a response, begun when the first one is there: what fails before raises here. ``failed`` tells of
    what fails later."""
    try:
        first = await unless_gone(request, _next(parts))
    except BaseException:
        await parts.aclose()
        raise
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamResponse(_rest(first, parts, failed), "text/event-stream", headers)


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(parts)


async def _rest(
    first: bytes, parts: AsyncGenerator[bytes, None], failed: Callable[[EdgeLLMError], bytes]
) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(parts):
        yield first
        try:
            async for part in parts:
                yield part
        except EdgeLLMError as error:
            yield failed(error)
        except Exception as error:  # noqa: BLE001  the status has been sent
            _log.error("internal error in a stream", exc_info=error)
            yield failed(internal_error())
