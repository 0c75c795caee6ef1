"""`python -m edgellm.cli.background -- pull OWNER/MODEL`: a command as a job of a server.

It has the lowest priority for processor and disk, may not take more than --memory-bytes, is the first to be killed when
memory runs out, and ends when the other end of --parent-fd closes: cleanly, as on SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import sys
import threading
from pathlib import Path

__all__ = ["main"]

_NICE = 15
_OOM_SCORE = 500  # of 1000
_GRACE_S = 20.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m edgellm.cli.background", description=__doc__)
    parser.add_argument("--parent-fd", type=int, help="a pipe: this process ends when its other end closes")
    parser.add_argument("--memory-bytes", type=int, help="the most memory that this process may take")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _be_humble()
    if options.memory_bytes is not None:
        _limit_memory(options.memory_bytes)
    if options.parent_fd is not None:
        threading.Thread(target=_watch, args=(options.parent_fd,), name="parent-watch", daemon=True).start()
    os.environ["EDGELLM_PROGRESS"] = "json"
    from edgellm.cli.main import run

    return run(options.command)


def _be_humble() -> None:
    """What the system does not allow is left out: the work gets done all the same."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(f"{_OOM_SCORE}\n")
    import psutil

    if hasattr(psutil, "IOPRIO_CLASS_IDLE"):
        with contextlib.suppress(psutil.Error, OSError):
            psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)


def _limit_memory(size_bytes: int) -> None:
    """Of private memory: files that are mapped read-only cost nothing that others lack."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def _watch(parent_fd: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(parent_fd, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_GRACE_S)
    os._exit(os.EX_TEMPFAIL)


if __name__ == "__main__":
    sys.exit(main())
