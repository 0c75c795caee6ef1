"""One connection: uvicorn's HTTP/1.1, and an end to clients that send nothing, take nothing or send nonsense.

uvicorn gives a client any time for its headers, for the rest of a body that nobody wants, and for taking what was sent.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from edgellm.server.limits import Limits

__all__ = ["Connection", "uvicorn_options"]

_LEAST_TAKEN_BYTES = 16 << 10
_LINGER_S = 5.0


class Connection(H11Protocol):
    """See the module. Everything is the event loop's."""

    def __init__(self, limits: Limits, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._arrival: asyncio.TimerHandle | None = None  # until headers have come, or the rest of an unwanted body
        self._taking: asyncio.TimerHandle | None = None  # until the reader takes what was sent

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._refuse(503, "too many connections", {"retry-after": "1"})
            return
        self._arrival = self.loop.call_later(self._limits.header_timeout_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_arrival()
        self._forget_taking()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_arrival()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_arrival()

    def send_400_response(self, msg: str) -> None:
        """What was sent is no HTTP."""
        error = sys.exception()
        status = getattr(error, "error_status_hint", 400)
        self._refuse(status, "the headers are too large" if status == 431 else "this is not an HTTP request")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_taking()

    def _watch_arrival(self) -> None:
        """Start or stop the clock for what the client has to send now."""
        if self.transport.is_closing():
            self._forget_arrival()
        elif self.conn.their_state is h11.IDLE:
            is_between = self.timeout_keep_alive_task is not None  # two requests: uvicorn's own clock runs
            if is_between:
                self._forget_arrival()
            elif self._arrival is None:
                self._arrival = self.loop.call_later(self._limits.header_timeout_s, self._too_slow)
        elif self.conn.their_state is h11.SEND_BODY and self.conn.our_state in (h11.DONE, h11.MUST_CLOSE):
            if self._arrival is None:  # the answer is out: let the client read it while it sends what nobody reads
                self._arrival = self.loop.call_later(_LINGER_S, self.transport.abort)
        else:
            self._forget_arrival()

    def _too_slow(self) -> None:
        self._arrival = None
        self._refuse(408, f"no request came within {self._limits.header_timeout_s:g} s")

    def _watch_taking(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._forget_taking()
        self._taking = self.loop.call_later(self._limits.write_timeout_s, self._check_taken, waiting)

    def _check_taken(self, before_bytes: int) -> None:
        if before_bytes - self.transport.get_write_buffer_size() < _LEAST_TAKEN_BYTES:
            self.transport.abort()  # its request ends as if it had gone away
        else:
            self._watch_taking()

    def _refuse(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        """Say why, where that is still possible, and close."""
        self._forget_arrival()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = msgspec.json.encode({"error": {"message": message, "hint": None, "status": status}})
        fields = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            **(headers or {}),
        }
        response = h11.Response(
            status_code=status, headers=list(fields.items()), reason=STATUS_PHRASES.get(status, b"")
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _forget_arrival(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _forget_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None


def uvicorn_options(limits: Limits) -> dict[str, Any]:
    """Arguments of uvicorn.Config that keep ``limits``. Addresses of clients are those of their connections."""
    protocol: Callable[..., asyncio.Protocol] = partial(Connection, limits)
    return {
        "http": protocol,
        "ws": "none",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "h11_max_incomplete_event_size": limits.max_header_bytes,
        "timeout_keep_alive": max(1, round(limits.idle_timeout_s)),
    }
