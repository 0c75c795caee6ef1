"""Connections as the server's listeners give them."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from edgellm.server.config import ServerConfig
from edgellm.server.lifecycle.listening import open_listeners


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_small_writes_do_not_wait_for_acknowledgements(tmp_path: Path, host: str) -> None:
    async def no_delay() -> bool:
        listeners = open_listeners(ServerConfig(host=host, port=0, socket=""), tmp_path, [])
        accepted: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.set_result(transport.get_extra_info("socket"))

        server = await asyncio.get_running_loop().create_server(Connection, sock=listeners.tcp[0])
        async with server:
            with socket.create_connection(listeners.tcp[0].getsockname()[:2]):
                connection = await accepted
                return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    assert asyncio.run(no_delay())
