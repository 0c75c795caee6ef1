"""Locks held by the kernel for a process on a file: a killed process lets go, and no file is left locked."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edgellm.errors import NotFoundError
from edgellm.files import os_errors
from edgellm.progress import CancelToken, Progress
from edgellm.sources.hub.retry import pause_until

__all__ = ["exclusive", "held", "locked_file", "try_lock"]

_PAUSE_S = 0.1


@contextmanager
def locked_file(path: Path, what: str, progress: Progress, cancel: CancelToken | None) -> Iterator[int]:
    """Open and lock the file at ``path``, made when absent; yields its descriptor.

    Waits while another process holds it, with one line on ``progress`` ("another process is <what>; waiting"). The
    holder may rename or remove the file: then the wait begins again with what is at ``path`` now. Raises Interrupted.
    """
    told = False
    while True:
        with os_errors(f"open {path}"):
            descriptor = _open(path)
        try:
            while not try_lock(descriptor):
                if not told:
                    progress.message(f"another process is {what}; waiting")
                    told = True
                pause_until(_PAUSE_S, cancel)
            if _is_at(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


@contextmanager
def exclusive(
    folder: Path, name: str, what: str, progress: Progress, cancel: CancelToken | None = None
) -> Iterator[None]:
    """Only one process at a time is inside the block for this ``folder`` and ``name``; the others wait.

    For work that goes on after a download: whoever waited looks first whether it is done. Leaves no file behind.
    """
    with os_errors(f"create {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    with locked_file(path, what, progress, cancel):
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


@contextmanager
def held(paths: Sequence[Path]) -> Iterator[None]:
    """Keep finished files from being removed as leftovers while the block runs; a killed process lets go.

    Raises NotFoundError when one is gone already.
    """
    with ExitStack() as stack:
        for path in paths:
            with os_errors(f"read {path}"):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not _is_at(path, descriptor):
                raise NotFoundError(f"{path} was removed meanwhile", hint="run the command again")
        yield


def try_lock(descriptor: int) -> bool:
    """Take the lock if nobody holds it."""
    with os_errors("lock a file of a download"), suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, 0o644)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
