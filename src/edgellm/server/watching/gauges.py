"""How the device is: memory, load, heat, disk. What nobody can tell is None."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgellm.api.watching import Gauges
from edgellm.devices.board import read_board
from edgellm.devices.cgroup import memory_limit_bytes
from edgellm.devices.health import Health, read_health
from edgellm.devices.local import available_memory_bytes, total_memory_bytes
from edgellm.files import existing_parent

__all__ = ["DeviceGauges"]

_FRESH_S = 0.5
_HEALTH_S = 2.0  # on a Raspberry Pi a program is run for it


class DeviceGauges:
    """Reads them at most twice a second, however many ask. Any thread may call it; it blocks for milliseconds."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._board: str | None = None
        self._lock = threading.Lock()
        self._last: Gauges | None = None
        self._read_at = 0.0
        self._times: list[tuple[float, float]] = []  # of each core: busy, all
        self._health: Health | None = None
        self._health_at = 0.0

    def read(self) -> Gauges:
        """The gauges now, or half a second ago."""
        with self._lock:
            now = time.monotonic()
            if self._last is None or now - self._read_at >= _FRESH_S:
                self._last, self._read_at = self._fresh(now), now
            return self._last

    def _fresh(self, now: float) -> Gauges:
        import psutil

        if self._last is None:
            board = read_board(Path("/"))
            self._board = board.model or board.cpu or None
        if self._health is None or now - self._health_at >= _HEALTH_S:
            self._health, self._health_at = read_health(), now
        swap = _or_none(psutil.swap_memory)
        disk = _or_none(lambda: shutil.disk_usage(existing_parent(self._store)))
        load = _or_none(psutil.getloadavg)
        cores = self._cores()
        return Gauges(
            time=time.time(),
            board=self._board,
            memory_total_bytes=total_memory_bytes(),
            memory_limit_bytes=memory_limit_bytes(Path("/")),
            memory_available_bytes=available_memory_bytes(),
            swap_total_bytes=None if swap is None else swap.total,
            swap_used_bytes=None if swap is None else swap.used,
            load_percent=round(sum(cores) / len(cores), 1) if cores else None,
            cores_percent=cores,
            load_average=None if load is None else (load[0], load[1], load[2]),
            health=self._health,
            disk_total_bytes=None if disk is None else disk.total,
            disk_free_bytes=None if disk is None else disk.free,
        )

    def _cores(self) -> tuple[float, ...]:
        """Per cent of each core since the last reading; none at the first one, and after a core came or went."""
        import psutil

        found = _or_none(lambda: psutil.cpu_times(percpu=True)) or []
        times = [(sum(core) - core.idle - getattr(core, "iowait", 0.0), sum(core)) for core in found]
        before, self._times = self._times, times
        if len(before) != len(times):
            return ()
        shares = [
            (busy - busy_before) / (total - total_before) if total > total_before else 0.0
            for (busy, total), (busy_before, total_before) in zip(times, before, strict=True)
        ]
        return tuple(round(min(100.0, max(0.0, 100 * share)), 1) for share in shares)


def _or_none(read: Callable[[], Any]) -> Any:
    """What ``read`` gives; None where this system does not tell."""
    try:
        return read()
    except (OSError, RuntimeError, AttributeError):
        return None
