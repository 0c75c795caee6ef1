"""What the system tells of a process from outside: whether it computes, waits for a disk, or lies still."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

__all__ = ["VitalSigns", "read_signs"]

_PROC = Path("/proc")
_USER_TIME, _SYSTEM_TIME = 11, 12  # fields of /proc/PID/stat after the state, which is field 0


class VitalSigns(NamedTuple):
    """A process, or one thread of it, at one moment."""

    cpu_ticks: float  # used so far, in some unit that grows with the time
    is_at_work: bool  # runs, is ready to, or waits for a disk
    is_stopped: bool  # by a signal
    is_traced: bool  # a debugger has stopped it

    def has_computed(self, before: VitalSigns | None) -> bool:
        """True when it has used a processor since ``before``, which may be of another thread."""
        return before is None or self.cpu_ticks != before.cpu_ticks


def read_signs(pid: int, thread_id: int | None = None, proc: Path = _PROC) -> VitalSigns | None:
    """The signs of the process, or of one thread where the system tells them; None when there is no such process."""
    folder = proc / str(pid) / "task"
    names = [str(thread_id)] if thread_id is not None else _thread_names(folder)
    found = [signs for name in names if (signs := _read_thread(folder / name / "stat")) is not None]
    if not found:
        return _ask_psutil(pid)
    return VitalSigns(
        sum(signs.cpu_ticks for signs in found),
        any(signs.is_at_work for signs in found),
        all(signs.is_stopped for signs in found),
        any(signs.is_traced for signs in found),
    )


def _thread_names(folder: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return [entry.name for entry in folder.iterdir()]
    return []


def _read_thread(path: Path) -> VitalSigns | None:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:  # it has ended, or this is not Linux
        return None
    fields = text.rpartition(")")[2].split()  # the name in parentheses may hold anything
    if len(fields) <= _SYSTEM_TIME:
        return None
    ticks = int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])
    state = fields[0]
    return VitalSigns(ticks, state in "RD", state == "T", state == "t")


def _ask_psutil(pid: int) -> VitalSigns | None:
    import psutil  # late: every parent of a worker imports this module, and few need that one

    try:
        process = psutil.Process(pid)
        times, state = process.cpu_times(), process.status()
    except psutil.Error:
        return None
    is_at_work = state in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
    is_traced = state == psutil.STATUS_TRACING_STOP
    return VitalSigns(times.user + times.system, is_at_work, state == psutil.STATUS_STOPPED, is_traced)
