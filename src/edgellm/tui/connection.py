"""The server that screens ask: found or started, watched, and found again when it went away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from textual.app import App
from textual.signal import Signal

from edgellm.errors import EdgeLLMError, NetworkError

if TYPE_CHECKING:
    import msgspec

    from edgellm.api.changes import Changes
    from edgellm.client.connection import Client
    from edgellm.running import RunningServer

__all__ = ["Connection", "ConnectionState", "ServerSource"]

Answer = TypeVar("Answer")
ConnectionState = Literal["connecting", "connected", "lost"]

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
_READY_S = 30.0


class ServerSource(Protocol):
    """Where a server comes from. It blocks, and is called in a thread."""

    def obtain(self) -> RunningServer:
        """The server that runs, else one that is started now. Raises what starting raises."""


class Connection:
    """The one connection of an app. Everything is its event loop's.

    ``changed`` is published with every new state, ``news`` when the server says that something is otherwise than it
    was: subscribe to both rather than asking again and again.
    """

    def __init__(self, app: App[Any], source: ServerSource) -> None:
        self.state: ConnectionState = "connecting"
        self.server: RunningServer | None = None
        self.problem: EdgeLLMError | None = None  # why the server is lost
        self.retry_s: float | None = None  # how long until it is looked for again
        self.latest: Changes | None = None
        self.changed: Signal[ConnectionState] = Signal(app, "connection-changed")
        self.news: Signal[Changes] = Signal(app, "connection-news")
        self._source = source
        self._client: Client | None = None
        self._ready = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """True while the server answers."""
        return self.state == "connected"

    async def get(self, path: str, kind: type[Answer]) -> Answer:
        """The answer to GET ``path``. Raises the error that the server gives, NetworkError while it is lost."""
        return await (await self._answering()).get(path, kind)

    async def post(self, path: str, body: Any, kind: type[Answer]) -> Answer:
        """The answer to POST ``path`` with ``body`` as JSON."""
        return await (await self._answering()).post(path, body, kind)

    async def delete(self, path: str, kind: type[Answer]) -> Answer:
        """The answer to DELETE ``path``."""
        return await (await self._answering()).delete(path, kind)

    async def lines(self, path: str, body: Any, decoder: msgspec.json.Decoder[Answer]) -> AsyncGenerator[Answer, None]:
        """POST ``body`` (GET without one) and read one JSON object a line. Close the generator to end the request."""
        client = await self._answering()
        async with contextlib.aclosing(client.lines(path, body, decoder)) as lines:
            async for line in lines:
                yield line

    async def events(self, path: str, decoder: msgspec.json.Decoder[Answer]) -> AsyncGenerator[Answer, None]:
        """GET ``path`` and read server-sent events."""
        client = await self._answering()
        async with contextlib.aclosing(client.events(path, decoder)) as events:
            async for event in events:
                yield event

    async def client(self) -> Client:
        """The client itself, for what has no method here. Raises NetworkError while the server is lost."""
        return await self._answering()

    def retry_now(self) -> None:
        """Look for the server at once."""
        self._hurry.set()

    async def run(self) -> None:
        """Keep the connection until this task is cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                server = await asyncio.to_thread(self._source.obtain)
                await self._stay(server)
                pause_s = _FIRST_PAUSE_S
                error: EdgeLLMError = NetworkError(
                    f"the server {server.address} (process {server.pid}) has ended", hint="looking for another one"
                )
            except EdgeLLMError as failure:
                error = failure
                if self.is_connected:
                    pause_s = _FIRST_PAUSE_S
            self._lose(error, pause_s)
            await self._wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _stay(self, server: RunningServer) -> None:
        """Listen to ``server`` until it ends."""
        import msgspec

        from edgellm.api.changes import Changes
        from edgellm.client.connection import Client

        async with Client(server) as client:
            self.server, self._client = server, client
            try:
                stream = client.events("/api/edgellm/changes", msgspec.json.Decoder(Changes))
                async with contextlib.aclosing(stream) as events:
                    async for changes in events:
                        self.latest = changes
                        if self.is_connected:
                            self.news.publish(changes)
                        else:
                            self._connect()
            finally:
                self._client = None
                self._ready.clear()

    async def _answering(self) -> Client:
        if self.state == "connecting":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_READY_S):
                    await self._ready.wait()
        if self._client is None:
            why = self.problem.message if self.problem else "the server is not there"
            raise NetworkError(why, hint="wait until it answers again, and try once more")
        return self._client

    def _connect(self) -> None:
        self.state, self.problem, self.retry_s = "connected", None, None
        self._ready.set()
        self.changed.publish(self.state)

    def _lose(self, error: EdgeLLMError, pause_s: float) -> None:
        self.state, self.problem, self.retry_s = "lost", error, pause_s
        self._ready.set()  # who waits for it hears that it is not there
        self.changed.publish(self.state)

    async def _wait(self, pause_s: float) -> None:
        self._hurry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._hurry.wait()
