"""What processes take of the memory."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

__all__ = ["own_bytes", "process_bytes"]

_HELPERS = "edgellm_runtimes."
_WORKER = "edgellm_runtimes.worker"
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


def own_bytes() -> int:
    """What this process takes with its helpers, which render templates and try out grammars. Blocks.

    Workers count as models, and jobs have limits of their own.
    """
    helpers = [pid for pid in _children(os.getpid()) if _module(pid).startswith(_HELPERS) and _module(pid) != _WORKER]
    return sum(map(process_bytes, [os.getpid(), *helpers]))


def _module(pid: int) -> str:
    """The module that a Python process runs with ``-m``; empty where it runs none, or has ended."""
    import psutil

    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return ""
    return words[words.index("-m") + 1] if "-m" in words[:-1] else ""


def _children(pid: int) -> list[int]:
    """The kernel's list where it keeps one: looking through all processes costs ten times as much."""
    lists = list(Path(f"/proc/{pid}/task").glob("*/children"))
    if lists:
        found: list[int] = []
        for file in lists:
            with contextlib.suppress(OSError):  # the thread has ended
                found += map(int, file.read_text().split())
        return found
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []
