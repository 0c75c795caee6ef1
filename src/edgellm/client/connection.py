"""Requests to one server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from types import TracebackType
from typing import Any, TypeVar

import httpx
import msgspec

from edgellm.api.errors import ErrorBody
from edgellm.client.cancelled_reads import forgive_cancelled_reads
from edgellm.client.key import key_headers
from edgellm.errors import AccessError, BackendError, EdgeLLMError, NetworkError, UsageError
from edgellm.running import RunningServer

__all__ = ["Client"]

Answer = TypeVar("Answer")
_CONNECT_S = 10.0
_EVENT = b"data: "


class Client:
    """An async client of ``server``, over its Unix socket where it has one. Use it as an async context manager.

    Every method raises the error that the server gives, and NetworkError when it does not answer.
    """

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=server.socket) if server.socket else None,
            base_url="http://localhost" if server.socket else server.url or "",
            headers=key_headers(),
            timeout=httpx.Timeout(None, connect=_CONNECT_S),  # a model may take its time
            trust_env=False,  # no proxy stands between us and this machine
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, kind: type[Answer]) -> Answer:
        """The answer to GET ``path``."""
        return await self._exchange("GET", path, None, kind)

    async def post(self, path: str, body: Any, kind: type[Answer]) -> Answer:
        """The answer to POST ``path`` with ``body`` as JSON."""
        return await self._exchange("POST", path, body, kind)

    async def delete(self, path: str, kind: type[Answer]) -> Answer:
        """The answer to DELETE ``path``."""
        return await self._exchange("DELETE", path, None, kind)

    async def lines(self, path: str, body: Any, decoder: msgspec.json.Decoder[Answer]) -> AsyncGenerator[Answer, None]:
        """POST ``body``, or GET without one, and read one JSON object a line. Closing the generator ends the request
        over there."""
        async with self._stream("GET" if body is None else "POST", path, body) as response:
            async for line in _lines_of(response):
                yield self._decode(line, decoder)

    async def events(self, path: str, decoder: msgspec.json.Decoder[Answer]) -> AsyncGenerator[Answer, None]:
        """GET ``path`` and read server-sent events, each one JSON object. Closing the generator ends the request."""
        async with self._stream("GET", path, None) as response:
            async for line in _lines_of(response):
                if line.startswith(_EVENT):
                    yield self._decode(line[len(_EVENT) :], decoder)

    async def download(self, path: str) -> AsyncGenerator[bytes, None]:
        """GET ``path``, which is no JSON, in parts."""
        async with self._stream("GET", path, None) as response:
            async for part in response.aiter_raw():
                yield part

    async def upload(self, path: str, parts: AsyncIterator[bytes], size_bytes: int) -> None:
        """POST bytes to ``path``."""
        headers = {"content-type": "application/octet-stream", "content-length": str(size_bytes)}
        with self._told():
            response = await self._http.request("POST", path, content=parts, headers=headers)
        if response.status_code >= 400:
            raise _error_of(response.status_code, response.content)

    async def has(self, path: str) -> bool:
        """True when HEAD ``path`` finds something."""
        with self._told():
            response = await self._http.request("HEAD", path)
        if response.status_code not in (200, 404):
            raise _error_of(response.status_code, response.content)
        return response.status_code == 200

    @contextlib.asynccontextmanager
    async def _stream(self, method: str, path: str, body: Any) -> AsyncGenerator[httpx.Response, None]:
        forgive_cancelled_reads()
        with self._told():
            async with self._http.stream(method, path, **_content(body)) as response:
                if response.status_code >= 400:
                    raise _error_of(response.status_code, await response.aread())
                yield response

    async def _exchange(self, method: str, path: str, body: Any, kind: type[Answer]) -> Answer:
        with self._told():
            response = await self._http.request(method, path, **_content(body))
        if response.status_code >= 400:
            raise _error_of(response.status_code, response.content)
        return self._decode(response.content, msgspec.json.Decoder(kind))

    def _decode(self, raw: bytes, decoder: msgspec.json.Decoder[Answer]) -> Answer:
        try:
            return decoder.decode(raw)
        except msgspec.MsgspecError as error:
            raise BackendError(
                f"the server {self.server.address} (edgellm {self.server.version}) answers in another form: {error}",
                hint="restart it, so that both are of the same version",
            ) from error

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise NetworkError(
                f"the server {self.server.address} (process {self.server.pid}) went away: {why}",
                hint="try again; `edgellm ps` shows which servers run",
            ) from error


def _content(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    try:
        content = msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        raise UsageError(f"a text is not valid Unicode: {error.reason}") from error
    return {"content": content, "headers": {"content-type": "application/json"}}


async def _lines_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """Lines as bytes: httpx would split at every line end that Unicode knows, and look for the encoding first."""
    rest = b""
    async for part in response.aiter_raw():
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest


def _error_of(status: int, raw: bytes) -> EdgeLLMError:
    try:
        return msgspec.json.decode(raw, type=ErrorBody).error.as_error()
    except msgspec.MsgspecError:
        kind = AccessError if status in (401, 403) else BackendError
        return kind(f"the server answers with status {status}", hint="its log says more")
