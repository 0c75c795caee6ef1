"""An application behind the server's own connections, in a thread of this process: for limits that a test shortens."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from edgellm.server.http.connection import uvicorn_options
from edgellm.server.limits import Limits

__all__ = ["connected", "read_all", "served"]


@contextlib.contextmanager
def served(app: ASGIApp, limits: Limits) -> Iterator[int]:
    """The port of the loopback interface where ``app`` answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", **uvicorn_options(limits)))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join()


@contextlib.contextmanager
def connected(port: int, *, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    """A connection; with a receive buffer of about ``receive_bytes``."""
    with socket.socket() as client:
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        yield client


def read_all(client: socket.socket) -> bytes:
    """Everything until the other side closes, or breaks off."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)
