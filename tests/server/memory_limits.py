"""A limit on the memory of a process and its children, by the kernel where it lets us, and what they take."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from edgellm.server.models.footprint import process_bytes

__all__ = ["MemoryGroup", "Sampler", "memory_group", "tree_bytes"]

_V1 = Path("/sys/fs/cgroup/memory")
_PERIOD_S = 0.1


class MemoryGroup:
    """A memory cgroup; without ``folder`` there is none, and nothing is limited."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def add(self, pid: int) -> None:
        """Move a process into it; children that it starts from now on are in it too."""
        if self.folder is not None:
            (self.folder / "cgroup.procs").write_text(str(pid))

    @property
    def kills(self) -> int:
        """How often the kernel killed a process because the limit was reached."""
        if self.folder is None:
            return 0
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError):
                rows = dict(line.split() for line in (self.folder / name).read_text().splitlines())
                return int(rows.get("oom_kill", 0))
        return 0


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[MemoryGroup]:
    """A group with that limit while the block runs; all its processes must have ended by then."""
    folder = None
    with contextlib.suppress(OSError):
        candidate = _V1 / f"edgellm-test-{os.getpid()}"
        if _V1.is_dir():
            candidate.mkdir()
            folder = candidate
            (candidate / "memory.limit_in_bytes").write_text(str(limit_bytes))
    try:
        yield MemoryGroup(folder)
    finally:
        if folder is not None:
            folder.rmdir()


def tree_bytes(pid: int) -> int:
    """The proportional set size of a process with all its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        return sum(map(process_bytes, family))
    return 0


class Sampler:
    """Reads what a process with its children takes, ten times a second, until the block ends."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.samples: list[int] = []

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(_PERIOD_S):
            self.samples.append(tree_bytes(self._pid))
