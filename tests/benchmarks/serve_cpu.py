"""Whose processor time went by: of the processes of this benchmark, and of everybody else. Linux: it reads /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Spent", "descendants", "spent"]

_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE, _IO_WAIT, _STEAL = 3, 4, 7  # columns of /proc/stat
_COUNTED = 8  # what follows is part of the first ones


class Spent(NamedTuple):
    """Seconds of processor time since the machine started, over all cores."""

    ours: float  # this process and all below it
    others: float
    stolen: float  # by the hypervisor: for neighbours of a virtual machine

    def since(self, earlier: Spent) -> Spent:
        return Spent(*(now - then for now, then in zip(self, earlier, strict=True)))


def spent() -> Spent:
    """What was spent until now. A process that has ended and was waited for counts with its parent."""
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    columns = [int(word) / _TICKS for word in first.split()[1 : _COUNTED + 1]]
    busy = sum(columns) - columns[_IDLE] - columns[_IO_WAIT] - columns[_STEAL]
    ours = sum(_of_process(pid) for pid in [os.getpid(), *descendants(os.getpid())])
    return Spent(ours, busy - ours, columns[_STEAL])


def descendants(pid: int) -> list[int]:
    """All processes below ``pid``."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        try:
            tasks = list(Path(f"/proc/{waiting.pop()}/task").iterdir())
            children = [int(word) for task in tasks for word in (task / "children").read_text().split()]
        except OSError:
            continue  # it has just ended
        found += children
        waiting += children
    return found


def _of_process(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS  # utime, stime and those of children waited for
