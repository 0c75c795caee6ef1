"""Server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec
from starlette.requests import Request

from edgellm.errors import EdgeLLMError
from edgellm.server.dialects.openai.errors import error_body
from edgellm.server.http.responses import StreamResponse
from edgellm.server.http.streaming import begun_stream

__all__ = ["DONE", "data", "error_data", "event_stream"]

DONE = b"data: [DONE]\n\n"
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
    """See ``begun_stream``."""
    return await begun_stream(request, parts, failed)
