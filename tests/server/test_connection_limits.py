"""Clients that send nothing, send nonsense, or do not read: the connection ends, and nothing is kept for them."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator

import httpx
import pytest
from served_app import connected, read_all, served
from starlette.types import Receive, Scope, Send

from edgellm.server.http.responses import JSONResponse, StreamResponse
from edgellm.server.limits import Limits


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"hello": scope["path"]})(scope, receive, send)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost: localhost\r\nx: "])
def test_headers_that_do_not_come_are_not_waited_for(sent: bytes) -> None:
    with served(hello, Limits(header_timeout_s=0.2)) as port, connected(port) as client:
        client.sendall(sent)
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"no request came within 0.2 s"' in answer


def test_headers_that_come_a_byte_at_a_time_have_no_more_time() -> None:
    with served(hello, Limits(header_timeout_s=0.3)) as port, connected(port) as client:
        client.settimeout(0.02)
        answer = b""
        client.sendall(b"GET / HTTP/1.1\r\nx: ")
        while not answer:
            try:
                answer = client.recv(65536)
            except TimeoutError:
                client.sendall(b"a")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_second_request_on_a_connection_has_its_own_time() -> None:
    with served(hello, Limits(header_timeout_s=0.3)) as port, connected(port) as client:
        for _ in range(2):
            client.sendall(b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n")
            answer = b""
            while b'{"hello":"/x"}' not in answer:
                answer += client.recv(65536)
        client.sendall(b"GET ")
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_without_a_word() -> None:
    with served(hello, Limits(idle_timeout_s=1, header_timeout_s=0.2)) as port, connected(port) as client:
        client.sendall(b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = read_all(client)
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 1000,  # TLS where there is none
        b"GET\r\n\r\n",
        b"A" * 10_000_000,
        b"\x00" * 10_000_000,
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_at_once(garbage: bytes) -> None:
    with served(hello, Limits()) as port, connected(port) as client:
        sender = threading.Thread(target=_send, args=(client, garbage))
        sender.start()
        answer = read_all(client)
        sender.join()
    assert answer == b"" or answer.split()[1] in (b"400", b"431", b"501")


def _send(client: object, data: bytes) -> None:
    try:
        client.sendall(data)  # type: ignore[attr-defined]
    except OSError:
        return  # it has hung up, as it should


def test_more_connections_than_the_limit_are_refused() -> None:
    with served(hello, Limits(max_connections=1)) as port, connected(port) as first:
        first.sendall(b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert first.recv(65536)
        with connected(port) as second:
            answer = read_all(second)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer


class Flood:
    """A stream without end, which knows how much was taken from it, and whether it was closed."""

    def __init__(self) -> None:
        self.made_bytes = 0
        self.closed = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await StreamResponse(self._parts(), "text/plain")(scope, receive, send)

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                self.made_bytes += 1000
                yield b"x" * 1000
        finally:
            self.closed.set()


def test_who_does_not_read_is_left_and_little_is_kept_for_it() -> None:
    flood = Flood()
    with served(flood, Limits(write_timeout_s=0.5)) as port, connected(port, receive_bytes=4096) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert flood.closed.wait(30)
    assert flood.made_bytes < 8_000_000  # of which the kernel has most


def test_who_reads_slowly_but_steadily_is_served() -> None:
    flood = Flood()
    with served(flood, Limits(write_timeout_s=0.5)) as port, connected(port, receive_bytes=4096) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        taken = 0
        ticks = threading.Event()
        while taken < 2_000_000:
            taken += len(client.recv(65536))
            ticks.wait(0.001)
        assert not flood.closed.is_set()
    assert flood.closed.wait(30)  # it has gone: nothing more is made


def test_an_answer_can_be_read_while_the_unwanted_body_still_comes() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({"error": "too large"}, 413)(scope, receive, send)

    with served(refuse, Limits()) as port, connected(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50000000\r\n\r\n")
        client.sendall(b"x" * 20_000_000)
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    """Streams three parts, one of them empty and one long."""
    await receive()

    async def parts() -> AsyncGenerator[bytes, None]:
        yield b"one,"
        yield b""
        yield b"x" * 300_000
        yield b",three"

    await StreamResponse(parts(), "text/plain")(scope, receive, send)


WHOLE = b"one," + b"x" * 300_000 + b",three"


def test_streams_are_chunks_and_the_connection_goes_on() -> None:
    with served(count, Limits()) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        for _ in range(3):
            answer = client.get("/")
            assert answer.headers["transfer-encoding"] == "chunked"
            assert answer.content == WHOLE
        assert client.head("/").content == b""
        assert client.get("/").content == WHOLE


def test_clients_that_know_no_chunks_get_the_bytes_alone() -> None:
    with served(count, Limits()) as port, connected(port) as client:
        client.sendall(b"GET / HTTP/1.0\r\nhost: localhost\r\n\r\n")
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == WHOLE
