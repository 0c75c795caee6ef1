"""uvicorn's server with sockets, signals and an end of our own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time

import uvicorn
from starlette.types import ASGIApp

from edgellm.server.http.connection import uvicorn_options
from edgellm.server.lifecycle.listening import Listeners
from edgellm.server.limits import Limits

__all__ = ["HttpServer"]

_TICK_S = 1.0  # how often the Date header is made anew
_LOOK_S = 0.02
_CLOSE_S = 2.0  # for a request whose client has gone
_CANCEL_S = 1.0  # for one that was cancelled


class HttpServer(uvicorn.Server):
    """Serves ``app`` on ``listeners``; TCP with ``tls`` where it is given, a Unix socket never."""

    def __init__(self, app: ASGIApp, listeners: Listeners, tls: ssl.SSLContext | None, limits: Limits) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                log_config=None,
                **uvicorn_options(limits),
            )
        )
        self._listeners = listeners
        self._tls = tls

    async def open(self) -> None:
        """Answer requests from now on."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise RuntimeError("the application did not start")
        await self.on_tick(0)
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(self._protocol, sock=each, ssl=tls)
            for sockets, tls in ((self._listeners.tcp, self._tls), (self._listeners.unix, None))
            for each in sockets
        ]
        self.started = True

    def _protocol(self) -> asyncio.Protocol:
        protocol = self.config.http_protocol_class(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,  # type: ignore[call-arg]
        )
        assert isinstance(protocol, asyncio.Protocol)
        return protocol

    async def run_until(self, told: asyncio.Event) -> None:
        """Serve until ``told`` is set."""
        while not told.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), _TICK_S)
            await self.on_tick(0)

    async def drain(self, hurry: asyncio.Event, timeout_s: float) -> int:
        """Take no more connections and requests, and let what runs finish, for so long or until ``hurry`` is set.

        Returns how many answers were cut off.
        """
        for server in self.servers:
            server.close()
        until = time.monotonic() + timeout_s
        while (self.server_state.connections or self.server_state.tasks) and not hurry.is_set():
            for connection in list(self.server_state.connections):  # also those that were being accepted
                connection.shutdown()
            if time.monotonic() >= until:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), _LOOK_S)
        return await self._cut_off()

    async def _cut_off(self) -> int:
        """Drop every connection, which ends its request, and cancel what does not mind."""
        cut = list(self.server_state.tasks)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for timeout_s in (_CLOSE_S, _CANCEL_S):
            running = [task for task in cut if not task.done()]
            if running:
                await asyncio.wait(running, timeout=timeout_s)
            for task in running:
                task.cancel()
        return len(cut)

    async def close(self) -> None:
        """Close the application. Nothing may be served any more."""
        if self.started:
            await self.lifespan.shutdown()
