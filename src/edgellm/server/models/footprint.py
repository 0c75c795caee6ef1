"""What processes take of the memory."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

__all__ = ["own_bytes", "process_bytes"]

_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def process_bytes(pid: int) -> int:
    """The proportional set size of a process: pages that several processes map are shared out. 0 when it has ended.

    Where the system does not tell, the resident set size.
    """
    try:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def own_bytes(worker_pids: Collection[int]) -> int:
    """What this process takes with its helpers, all children but those with the ids ``worker_pids``. Blocks."""
    import psutil

    me = psutil.Process()
    helpers = [child.pid for child in me.children(recursive=True)]
    return process_bytes(me.pid) + sum(process_bytes(pid) for pid in helpers if pid not in worker_pids)
