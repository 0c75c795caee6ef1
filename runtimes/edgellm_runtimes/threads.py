"""How many CPUs this process may keep busy."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

__all__ = ["usable_threads"]

_CGROUP = Path("/sys/fs/cgroup")


def usable_threads(cgroup: Path = _CGROUP) -> int:
    """CPUs in the affinity mask, cut to the CPU quota of the control group (v2 or v1); at least 1."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    quota = _quota(cgroup)
    # a team of threads that is larger than the quota is stopped together for the rest of each period
    return max(1, count if quota is None else min(count, math.floor(quota + 0.01)))


def _quota(cgroup: Path) -> float | None:
    """CPUs per second that the control group may use; None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        limit, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        return None if limit == "max" else int(limit) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        limit_us = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period_us = int((cgroup / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return limit_us / period_us if limit_us > 0 else None
    return None
