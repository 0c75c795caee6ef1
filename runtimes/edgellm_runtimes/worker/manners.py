"""How a worker behaves towards its machine and its parent."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path

from edgellm_runtimes.child import begin_child

__all__ = ["begin_worker"]

_OOM_SCORE = Path("/proc/self/oom_score_adj")
_OOM_ABOVE_PARENT = 300  # thousandths of the memory
_OOM_MOST = 1000


def begin_worker(parent_fd: int) -> None:
    """What a worker does first: end with its parent, by no other's wish, and before it when memory runs out."""
    begin_child(parent_fd)
    _end_by_the_kernel(parent_fd)
    for number in (signal.SIGINT, signal.SIGTERM):  # a service manager signals the whole group: the parent decides
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError, ValueError):  # not Linux
        inherited = int(_OOM_SCORE.read_text(encoding="ascii"))
        _OOM_SCORE.write_text(str(min(_OOM_MOST, inherited + _OOM_ABOVE_PARENT)), encoding="ascii")


def _end_by_the_kernel(parent_fd: int) -> None:
    """The kernel sends SIGIO when the parent's end of the pipe closes, and that ends a process that does not expect it.

    ``begin_child`` has a thread wait for the same; but a thread needs the interpreter's lock, and native code may keep
    that for seconds.
    """
    if not hasattr(fcntl, "F_SETOWN"):
        return
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(parent_fd, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(parent_fd, fcntl.F_GETFL)
    fcntl.fcntl(parent_fd, fcntl.F_SETFL, flags | os.O_ASYNC)
