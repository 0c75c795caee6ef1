"""What the server does at one moment: models, their counters, the device."""

from __future__ import annotations

import asyncio
import time

from edgellm.api.watching import ModelCounters, Statistics
from edgellm.errors import EdgeLLMError
from edgellm.server.models.manager import ModelManager
from edgellm.server.models.resident import Resident
from edgellm.server.watching.gauges import DeviceGauges
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics

__all__ = ["StatisticsReader"]

_FRESH_S = 0.4


class StatisticsReader:
    """Reads them for all who ask at about the same time. Belongs to one event loop."""

    def __init__(self, models: ModelManager, gauges: DeviceGauges, started: float) -> None:
        """``started``: when the server did, of time.monotonic()."""
        self._models = models
        self._gauges = gauges
        self._started = started
        self._reading: asyncio.Task[Statistics] | None = None
        self._read_at = 0.0

    async def read(self) -> Statistics:
        """The statistics now, or a moment ago."""
        now = time.monotonic()
        if self._reading is None or (self._reading.done() and now - self._read_at >= _FRESH_S):
            self._read_at = now
            self._reading = asyncio.get_running_loop().create_task(self._read())
        return await asyncio.shield(self._reading)

    async def _read(self) -> Statistics:
        engines = self._models.engines
        statuses, room, gauges = await asyncio.gather(
            self._models.statuses(), self._models.room(), asyncio.to_thread(self._gauges.read)
        )
        counters = await asyncio.gather(*(_counters(engines.get(status.digest)) for status in statuses))
        return Statistics(
            time=time.time(),
            uptime_s=time.monotonic() - self._started,
            memory=room,
            models=tuple(ModelCounters(*pair) for pair in zip(statuses, counters, strict=True)),
            device=gauges,
        )


async def _counters(resident: Resident | None) -> SchedulerStatistics | None:
    if resident is None or resident.engine.status().state != "running":
        return None
    try:
        return await resident.engine.statistics()
    except EdgeLLMError:  # it ended meanwhile
        return None
