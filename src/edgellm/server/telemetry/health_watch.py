"""Whether this machine is too hot or short of power, asked for now and then while it works."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from edgellm.devices.health import Health, read_health

__all__ = ["HealthWatch"]

_BUSY_S, _IDLE_S = 5.0, 60.0  # between two looks
_FRESH_S = 2.0

_log = logging.getLogger("edgellm.server")


class HealthWatch:
    """The last known state of the machine whose /proc and /sys lie below ``root``. Methods are the event loop's."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._read_at = float("-inf")
        self.health = Health()

    @property
    def is_throttled(self) -> bool:
        """The machine slows down from heat, or for lack of power."""
        return bool(self.health.throttled_now or self.health.under_voltage_now or self.health.frequency_capped_now)

    async def refresh(self) -> Health:
        """The state of now, or of at most two seconds ago."""
        if time.monotonic() - self._read_at > _FRESH_S:
            was_throttled = self.is_throttled
            self._read_at = time.monotonic()
            self.health = await asyncio.to_thread(read_health, self._root)
            if self.is_throttled != was_throttled:
                self._say()
        return self.health

    async def watch(self, is_busy: Callable[[], bool], changed: Callable[[bool], None]) -> None:
        """Tell ``changed`` about throttling until cancelled; rarely while nothing is to do."""
        slept_s = _IDLE_S
        while True:
            if is_busy() or slept_s >= _IDLE_S:
                await self.refresh()
                changed(self.is_throttled)
                slept_s = 0.0
            await asyncio.sleep(_BUSY_S)
            slept_s += _BUSY_S

    def _say(self) -> None:
        if not self.is_throttled:
            _log.warning("this machine runs at full speed again")
            return
        degrees = self.health.temperature_c
        heat = "" if degrees is None else f" at {degrees:.0f} °C"
        _log.warning("this machine slows itself down%s: fewer answers are computed at once until it stops", heat)
