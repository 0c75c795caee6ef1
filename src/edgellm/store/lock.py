"""The lock under which the index of a store changes: held by the kernel for a process, so a crash cannot leave it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgellm.errors import BusyError
from edgellm.files import os_errors

__all__ = ["LOCK_FILE", "store_lock"]

LOCK_FILE = ".lock"
_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.05


@contextmanager
def store_lock(root: Path, timeout_s: float = 60.0) -> Iterator[None]:
    """Hold the store's lock while the block runs. Readers need none: the index is replaced as a whole.

    Raises BusyError when another process holds it for ``timeout_s``; it is only ever held for moments.
    """
    with os_errors(f"lock the store {root}"):
        file_descriptor = os.open(root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(file_descriptor, root, timeout_s)
        yield
    finally:
        os.close(file_descriptor)


def _acquire(file_descriptor: int, root: Path, timeout_s: float) -> None:
    deadline, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
    while True:
        with os_errors(f"lock the store {root}"), contextlib.suppress(BlockingIOError):
            fcntl.flock(file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= deadline:
            raise BusyError(
                f"another process has been changing the store {root} for {timeout_s:.0f} s",
                hint="wait for it to end, or end it; then run this again",
            )
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
