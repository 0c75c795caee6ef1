"""Around all routes: every request gets an id and a record, is counted, and leaves one line in the access log."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgellm.errors import BusyError
from edgellm.server.caller import LOCAL
from edgellm.server.security.guard import Refuse
from edgellm.server.telemetry.access_log import log_access
from edgellm.server.telemetry.record import RequestRecord, set_current_record
from edgellm.server.telemetry.telemetry import Telemetry

__all__ = ["Watch"]

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_log = logging.getLogger("edgellm.access")


class Watch:
    """Hands ``app`` requests that are counted; those beyond the limit are answered with ``refuse``.

    ``routes`` names the route of each endpoint: metrics have a label for it, and paths are without end.
    """

    def __init__(
        self, app: ASGIApp, telemetry: Telemetry, refuse: Refuse, routes: Mapping[object, str], *, keeps_content: bool
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._refuse = refuse
        self._routes = routes
        self._keeps_content = keeps_content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = self._record(scope)
        set_current_record(record)
        request_id = (b"x-request-id", record.id.encode("ascii"))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message.get("headers", ()), request_id]
            else:
                record.sent_bytes += len(message.get("body", b""))
            await send(message)

        admission = self._telemetry.admission
        counts = scope["method"] == "POST"  # what is read costs little, and must be seen while others wait
        if counts:
            try:
                admission.enter()
            except BusyError as error:
                self._telemetry.metrics.refused.add(1)
                await self._refuse(scope["path"], error, error.http_status)(scope, receive, sending)
                self._over(scope, record)
                return
        try:
            await self._app(scope, receive, sending)
        finally:
            if counts:
                admission.leave()
            record.caller = scope.get("edgellm.caller", LOCAL)
            self._over(scope, record)

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
