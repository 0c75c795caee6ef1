"""JSON responses, and streams that end when their reader goes away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edgellm.errors import Interrupted

__all__ = ["JSONResponse", "StreamResponse", "event_stream", "unless_gone"]

Result = TypeVar("Result")
_PARTS_AT_ONCE = 32


class JSONResponse(Response):
    """An object as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


class StreamResponse(Response):
    """Bytes as they come: each item of ``parts`` is one write. ``parts`` is closed when the client goes away.

    Whatever may fail before the first byte should be done before this is made: then it has a status of its own.
    """

    def __init__(
        self, parts: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(None, 200, headers, media_type)
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        async with contextlib.aclosing(self._parts) as parts:
            sent = 0
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
                sent += 1
                if not sent % _PARTS_AT_ONCE:  # sending to who has gone never waits: without this nobody would notice
                    await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def event_stream(items: AsyncGenerator[Any, None]) -> StreamResponse:
    """Each of ``items`` as JSON in a server-sent event."""
    return StreamResponse(_events(items), "text/event-stream", {"cache-control": "no-store"})


async def _events(items: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(items):
        async for item in items:
            yield b"data: " + msgspec.json.encode(item) + b"\n\n"


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """What ``work`` gives; it is cancelled when the client goes away before (Interrupted)."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Interrupted("the client went away")
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    """Returns when the client has gone. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
