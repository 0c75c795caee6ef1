"""A server for a chat without a screen: found or started when it is needed, and kept while the chat lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

import msgspec

from edgellm.api.changes import Changes
from edgellm.client.connection import Client
from edgellm.errors import EdgeLLMError, NetworkError
from edgellm.tui.launch import Launcher

__all__ = ["PlainServer"]

Answer = TypeVar("Answer")


class PlainServer:
    """Requests to the server that ``launcher`` obtains; to another one after one went away.

    Use it in an event loop that runs all the time: a server that ends when nobody needs it is told that somebody does.
    ``leave`` it at the end.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._client: Client | None = None
        self._presence: asyncio.Task[None] | None = None

    async def get(self, path: str, kind: type[Answer]) -> Answer:
        """The answer to GET ``path``."""
        client = await self._answering()
        try:
            return await client.get(path, kind)
        except NetworkError:
            await self.leave()
            raise

    async def post(self, path: str, body: Any, kind: type[Answer]) -> Answer:
        """The answer to POST ``path`` with ``body`` as JSON."""
        client = await self._answering()
        try:
            return await client.post(path, body, kind)
        except NetworkError:
            await self.leave()
            raise

    async def lines(self, path: str, body: Any, decoder: msgspec.json.Decoder[Answer]) -> AsyncGenerator[Answer, None]:
        """POST ``body`` and read one JSON object a line."""
        client = await self._answering()
        try:
            async with contextlib.aclosing(client.lines(path, body, decoder)) as lines:
                async for line in lines:
                    yield line
        except NetworkError:
            await self.leave()
            raise

    async def _answering(self) -> Client:
        if self._presence is not None and self._presence.done():  # it went away meanwhile
            await self.leave()
        if self._client is None:
            self._client = Client(await asyncio.to_thread(self._launcher.obtain))
            self._presence = asyncio.create_task(_stay(self._client))
        return self._client

    async def leave(self) -> None:
        """Let go of the server. The next request finds or starts one."""
        if self._presence is not None:
            self._presence.cancel()
            await asyncio.wait([self._presence])
        if self._client is not None:
            await self._client.__aexit__(None, None, None)
        self._client = self._presence = None


async def _stay(client: Client) -> None:
    with contextlib.suppress(EdgeLLMError):
        async with contextlib.aclosing(client.events("/api/edgellm/changes", msgspec.json.Decoder(Changes))) as events:
            async for _ in events:
                pass
