"""Gauges, statistics and the log, once or as a stream."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgellm.errors import UsageError
from edgellm.server.http.operation import Query, operation
from edgellm.server.http.responses import JSONResponse, StreamResponse
from edgellm.server.state import ServerState, state_of
from edgellm.server.watching.changes import watch_changes
from edgellm.server.watching.gauges import Gauges
from edgellm.server.watching.log_tail import LogLine
from edgellm.server.watching.statistics import Statistics
from edgellm.settings import settings_rows

__all__ = ["WATCHING_ROUTES"]

_SSE = "text/event-stream"
_LEAST_S = 0.5
_MOST_S = 3600.0
_LINES = 200
_INTERVAL = Query("interval_s", "Seconds between two.", {"type": "number", "minimum": _LEAST_S, "maximum": _MOST_S})
_COUNT = Query("lines", "How many of the last lines.", {"type": "number", "minimum": 0, "maximum": 100_000})


class SettingOrigin(msgspec.Struct, frozen=True):
    """A setting in force, and the file, variable or default that it comes from."""

    value: str | float | bool | None
    origin: str


class LogLines(msgspec.Struct, frozen=True):
    """Lines of the log, the oldest first."""

    lines: list[LogLine]


@operation(answer=Gauges)
async def device(request: Request) -> Response:
    """Memory, load, temperature, throttling and disk of this device; null where nobody can tell."""
    return JSONResponse(await asyncio.to_thread(state_of(request).gauges.read))


@operation(answer=dict[str, SettingOrigin])
async def settings(request: Request) -> Response:
    """Every setting of this server and where it comes from."""
    rows = settings_rows(state_of(request).settings)
    return JSONResponse({name: {"value": value, "origin": origin} for name, value, origin in rows})


@operation(answer=Statistics)
async def statistics(request: Request) -> Response:
    """Models with their counters, memory and device, now."""
    return JSONResponse(await state_of(request).statistics.read())


@operation(answer=_SSE, errors=(400,), query=(_INTERVAL,))
async def statistics_stream(request: Request) -> Response:
    """The same every ``interval_s`` seconds as server-sent events."""
    interval_s = _number(request, "interval_s", 1.0, _LEAST_S, _MOST_S)
    return _events(_every(state_of(request), interval_s))


@operation(answer=LogLines, errors=(400,), query=(_COUNT,))
async def log(request: Request) -> Response:
    """The last ``lines`` lines of the log."""
    count = _number(request, "lines", _LINES, 0, 100_000)
    return JSONResponse(LogLines(state_of(request).log.last(int(count))))


@operation(answer=_SSE, errors=(400,), query=(_COUNT,))
async def log_stream(request: Request) -> Response:
    """The last ``lines`` lines, then every new one, as server-sent events."""
    count = _number(request, "lines", _LINES, 0, 100_000)
    state = state_of(request)
    return _events(_until_stopping(state, state.log.follow(int(count))))


@operation(answer=_SSE)
async def changes(request: Request) -> Response:
    """What has changed, as server-sent events: the numbers now, and again whenever one of them is another one."""
    return _events(watch_changes(state_of(request)))


async def _every(state: ServerState, interval_s: float) -> AsyncGenerator[Any, None]:
    while not state.stopping.is_set():
        yield await state.statistics.read()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(state.stopping.wait(), interval_s)


async def _until_stopping(state: ServerState, items: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """``items`` until the server is told to stop."""
    stopping = asyncio.ensure_future(state.stopping.wait())
    try:
        async with contextlib.aclosing(items):
            while True:
                coming = asyncio.ensure_future(anext(items))
                try:
                    await asyncio.wait((coming, stopping), return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        return
                    yield coming.result()
                finally:
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
    finally:
        stopping.cancel()


def _events(items: AsyncGenerator[Any, None]) -> Response:
    return StreamResponse(_encoded(items), _SSE, {"cache-control": "no-store"})


async def _encoded(items: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(items):
        async for item in items:
            yield b"data: " + msgspec.json.encode(item) + b"\n\n"


def _number(request: Request, name: str, default: float, least: float, most: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise UsageError(f"{name} is {text[:40]!r}; it must be a number from {least:g} to {most:g}")
    return value


WATCHING_ROUTES = [
    Route("/api/edgellm/changes", changes, methods=["GET"]),
    Route("/api/edgellm/device", device, methods=["GET"]),
    Route("/api/edgellm/settings", settings, methods=["GET"]),
    Route("/api/edgellm/statistics", statistics, methods=["GET"]),
    Route("/api/edgellm/statistics/stream", statistics_stream, methods=["GET"]),
    Route("/api/edgellm/log", log, methods=["GET"]),
    Route("/api/edgellm/log/stream", log_stream, methods=["GET"]),
]
