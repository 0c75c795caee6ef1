"""Bodies that come too slowly, and more of them at a time than there is memory for."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_app import connected, read_all, served

from edgellm.server.app import create_app
from edgellm.server.config import ServerConfig
from edgellm.server.limits import Limits
from edgellm.server.models.manager import ModelManager
from edgellm.server.state import ServerState
from edgellm.settings import load_settings
from edgellm.store.store import Store

PATIENCE_S = 30.0
PATHS = ("/v1/chat/completions", "/api/chat", "/v1/messages", "/completion", "/api/edgellm/run")


@contextlib.contextmanager
def limited(home: Path, **limits: float) -> Iterator[tuple[int, ServerState]]:
    """A server without models whose requests have these ``limits``."""
    config = ServerConfig(limits=Limits(**limits))  # type: ignore[arg-type]
    settings = load_settings(environ={"EDGELLM_HOME": str(home)}, system_config=home / "none")
    store = Store(settings.paths.store, settings.paths.state)
    state = ServerState(config, settings, store, ModelManager(config, settings, store))
    with served(create_app(state), config.limits) as port:
        yield port, state


def begin(client: socket.socket, path: str, length: int, sent: bytes) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    client.sendall(head.encode() + sent)


def wait_until_read(state: ServerState, left_bytes: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while state.bodies.left_bytes != left_bytes:
        assert time.monotonic() < until, state.bodies.left_bytes
        time.sleep(0.005)


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_stops_coming_is_not_waited_for(tmp_path: Path, path: str) -> None:
    with limited(tmp_path, body_timeout_s=0.3) as (port, state), connected(port) as client:
        begin(client, path, 1000, b'{"model":')
        answer = read_all(client)
        wait_until_read(state, state.config.limits.max_bodies_bytes)
    assert answer.startswith(b"HTTP/1.1 408 ")
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert "only 9 B of the body came in 0 s" in json.dumps(said), said


def test_a_body_that_comes_a_byte_at_a_time_has_no_more_time(tmp_path: Path) -> None:
    with limited(tmp_path, body_timeout_s=0.3) as (port, _state), connected(port) as client:
        begin(client, PATHS[0], 1_000_000, b"")
        client.settimeout(0.02)
        answer = b""
        while not answer:
            try:
                answer = client.recv(65536)
            except TimeoutError:
                client.sendall(b" ")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_more_bodies_than_all_may_have_are_refused_and_taken_when_there_is_room(tmp_path: Path) -> None:
    mib = 1 << 20
    with limited(tmp_path, max_body_bytes=mib, max_bodies_bytes=mib) as (port, state):
        with connected(port) as first:
            begin(first, PATHS[0], mib, b" " * (mib - 1000))
            wait_until_read(state, 1000)
            with connected(port) as second:
                begin(second, PATHS[0], 2000, b" " * 2000)
                refused = read_all(second)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in refused
        assert b"other requests are sending too much" in refused
        wait_until_read(state, mib)  # the first one has gone
        with connected(port) as third:
            begin(third, PATHS[0], 2000, b" " * 2000)
            assert read_all(third).startswith(b"HTTP/1.1 400 ")  # it was read: it is no JSON
