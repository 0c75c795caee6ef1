"""What the routes of one server tell, and where it is collected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edgellm.server.admission import Admission
from edgellm.server.limits import Limits
from edgellm.server.telemetry.health_watch import HealthWatch
from edgellm.server.telemetry.metrics import ServerMetrics

__all__ = ["Telemetry"]


class Telemetry:
    """The limits and metrics of one server, its admission and the health of its machine, which belong together."""

    def __init__(self, limits: Limits, health: HealthWatch | None = None) -> None:
        self.limits = limits
        self.metrics = ServerMetrics()
        self.last_decode: dict[str, float] = {}  # full name of a model -> tokens per second of its last answer
        self.admission = Admission(limits.max_requests)
        self.health = health or HealthWatch()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look at the machine's health while the block runs, and let in fewer answers when it throttles."""
        task = asyncio.create_task(
            self.health.watch(lambda: self.admission.in_work > 0, self.admission.throttle), name="edgellm-health"
        )
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
