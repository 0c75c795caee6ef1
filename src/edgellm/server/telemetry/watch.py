"""Around all routes: every request gets an id and a record, is counted, and leaves one line in the access log."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgellm.errors import BusyError, TooLargeError
from edgellm.server.caller import Caller
from edgellm.server.security.guard import Refuse
from edgellm.server.telemetry.access_log import log_access
from edgellm.server.telemetry.record import RequestRecord, set_current_record
from edgellm.server.telemetry.telemetry import Telemetry

__all__ = ["Watch"]

_UNKNOWN = Caller("-")  # who was not let in
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HEADERS_TOO_LARGE = 431
_log = logging.getLogger("edgellm.access")


class Watch:
    """Hands ``app`` requests that are counted; those beyond the limit are answered with ``refuse``.

    ``routes`` names the route of each endpoint: metrics have a label for it, and paths are without end.
    """

    def __init__(
        self,
        app: ASGIApp,
        telemetry: Telemetry,
        refuse: Refuse,
        routes: Mapping[Any, str],
        *,
        max_header_bytes: int,
        keeps_content: bool,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._refuse = refuse
        self._routes = routes
        self._max_header_bytes = max_header_bytes
        self._keeps_content = keeps_content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = self._record(scope)
        set_current_record(record)
        try:
            await self._answer(scope, receive, _recorded(send, record), record)
        finally:
            record.caller = scope.get("edgellm.caller", _UNKNOWN)
            self._over(scope, record)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, record: RequestRecord) -> None:
        size_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        if size_bytes > self._max_header_bytes:
            error = TooLargeError(f"the headers have {size_bytes} bytes; {self._max_header_bytes} are allowed")
            await self._refuse(scope["path"], error, _HEADERS_TOO_LARGE)(scope, receive, send)
            return
        if scope["method"] != "POST":  # what is read costs little, and must be seen while others wait
            await self._route(scope, receive, send, record)
            return
        try:
            self._telemetry.admission.enter()
        except BusyError as busy:
            self._telemetry.metrics.refused.add(1)
            await self._refuse(scope["path"], busy, busy.http_status)(scope, receive, send)
            return
        try:
            await self._route(scope, receive, send, record)
        finally:
            self._telemetry.admission.leave()

    async def _route(self, scope: Scope, receive: Receive, send: Send, record: RequestRecord) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            if not record.is_complete:  # else it has been logged, and answered with 500
                raise

    def _record(self, scope: Scope) -> RequestRecord:
        given = Headers(scope=scope).get("x-request-id", "")
        return RequestRecord(
            given if _ID.fullmatch(given) else f"req-{secrets.token_hex(8)}",
            scope["method"],
            scope["path"],
            scope["client"][0] if scope.get("client") else "unix",
            telemetry=self._telemetry,
            keeps_content=self._keeps_content,
        )

    def _over(self, scope: Scope, record: RequestRecord) -> None:
        duration_s = time.perf_counter() - record.begun
        route = self._routes.get(scope.get("endpoint"), "other")
        metrics = self._telemetry.metrics
        metrics.requests.add(1, route, record.method if route != "other" else "other", str(record.status))
        metrics.duration.series(route).observe(duration_s)
        if _log.isEnabledFor(logging.INFO):
            log_access(_log, record, duration_s)


def _recorded(send: Send, record: RequestRecord) -> Send:
    """``send``, with the request's id in the response, and what is sent in the record."""
    request_id = (b"x-request-id", record.id.encode("ascii"))

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            record.status = message["status"]
            message["headers"] = [*message.get("headers", ()), request_id]
        else:
            record.sent_bytes += len(message.get("body", b""))
            record.is_complete = not message.get("more_body", False)
        await send(message)

    return sending
