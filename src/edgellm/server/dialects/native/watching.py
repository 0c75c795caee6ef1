"""Gauges, statistics and the log, once or as a stream."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.log import LogLines
from edgellm.api.watching import Gauges, SettingOrigin, Statistics
from edgellm.errors import UsageError
from edgellm.server.http.operation import Query, operation
from edgellm.server.http.responses import JSONResponse, event_stream
from edgellm.server.settings_in_force import settings_in_force
from edgellm.server.state import ServerState, state_of
from edgellm.server.watching.changes import watch_changes

__all__ = ["changes", "device", "log", "log_stream", "settings", "statistics", "statistics_stream"]

_SSE = "text/event-stream"
_LEAST_S = 0.5
_MOST_S = 3600.0
_LINES = 200
_INTERVAL = Query("interval_s", "Seconds between two.", {"type": "number", "minimum": _LEAST_S, "maximum": _MOST_S})
_COUNT = Query("lines", "How many of the last lines.", {"type": "number", "minimum": 0, "maximum": 100_000})


@operation(answer=Gauges)
async def device(request: Request) -> Response:
    """Memory, load, temperature, throttling and disk of this device; null where nobody can tell."""
    return JSONResponse(await asyncio.to_thread(state_of(request).gauges.read))


@operation(answer=dict[str, SettingOrigin])
async def settings(request: Request) -> Response:
    """Every setting of this server and where it comes from."""
    state = state_of(request)
    rows = settings_in_force(state.config, state.settings)
    return JSONResponse({name: SettingOrigin(value, origin) for name, value, origin in rows})


@operation(answer=Statistics)
async def statistics(request: Request) -> Response:
    """Models with their counters, memory and device, now."""
    return JSONResponse(await state_of(request).statistics.read())


@operation(answer=_SSE, errors=(400,), query=(_INTERVAL,))
async def statistics_stream(request: Request) -> Response:
    """The same every ``interval_s`` seconds as server-sent events."""
    interval_s = _number(request, "interval_s", 1.0, _LEAST_S, _MOST_S)
    return event_stream(_every(state_of(request), interval_s))


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
    return event_stream(_until_stopping(state, state.log.follow(int(count))))


@operation(answer=_SSE)
async def changes(request: Request) -> Response:
    """What has changed, as server-sent events: the numbers now, and again whenever one of them is another one."""
    return event_stream(watch_changes(state_of(request)))


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
