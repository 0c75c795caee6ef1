"""How busy cores are now. The load average is that of the last minute: too late to ask."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from edgellm.devices.cgroup import read_text

__all__ = ["busy_cores", "idle_seconds"]

# user nice system idle iowait irq softirq steal; what follows is part of user
_FIELDS = re.compile(r"cpu +(\d{1,20}(?: \d{1,20}){7})", re.ASCII)
_CORE = re.compile(r"^cpu(\d{1,9}) (\d{1,20}(?: \d{1,20}){7})", re.ASCII | re.MULTILINE)
_IDLE = (3, 4)
_TICK_S = 0.01  # USER_HZ is 100 on every Linux


class _Ticks(NamedTuple):
    busy: int
    total: int
    cores: int


def busy_cores(pause: Callable[[], object], root: Path = Path("/")) -> float:
    """Cores that are at work while ``pause()`` runs; where the system does not tell, the load average."""
    before = _ticks(root)
    pause()
    after = _ticks(root)
    if before is None or after is None or after.total <= before.total:
        return os.getloadavg()[0]
    share = (after.busy - before.busy) / (after.total - before.total)
    return min(1.0, max(0.0, share)) * after.cores


def idle_seconds(cores: Collection[int], root: Path = Path("/")) -> float | None:
    """Seconds that ``cores`` have idled since the machine was started, together; None where nobody tells."""
    idle = [
        sum(int(ticks[i]) for i in _IDLE)
        for core, ticks in (
            (int(found[1]), found[2].split()) for found in _CORE.finditer(read_text(root / "proc/stat"))
        )
        if core in cores
    ]
    return sum(idle) * _TICK_S if idle else None


def _ticks(root: Path) -> _Ticks | None:
    """What all cores did since the machine was started."""
    text = read_text(root / "proc/stat")
    found = _FIELDS.match(text)
    cores = len(re.findall(r"^cpu\d", text, re.ASCII | re.MULTILINE))
    if found is None or cores == 0:
        return None
    ticks = [int(field) for field in found[1].split()]
    total = sum(ticks)
    return _Ticks(total - sum(ticks[i] for i in _IDLE), total, cores)
