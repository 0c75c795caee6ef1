"""The lock under which the folder of prefixes changes: an flock on the folder itself, which ends with the process.

`gc --cache` takes the same lock before it removes the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from edgellm.errors import AccessError, BusyError
from edgellm.files import os_errors

__all__ = ["open_folder", "prefix_lock"]

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05


@contextlib.contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """A descriptor of the folder while the block runs. Raises OSError."""
    descriptor = os.open(path, _FOLDER_FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def prefix_lock(path: Path, timeout_s: float = 10.0) -> Iterator[int]:
    """Make the folder when there is none, and hold its lock while the block runs; yields its descriptor.

    Raises AccessError when it cannot be made or belongs to another user, BusyError after ``timeout_s``.
    """
    deadline, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
    while True:
        with os_errors(f"use the folder of saved prefixes {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            descriptor = os.open(path, _FOLDER_FLAGS)
        try:
            with os_errors(f"lock {path}"), contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(path, descriptor):  # else it was removed while this one waited
                    _require_private(path, descriptor)
                    yield descriptor
                    return
        finally:
            os.close(descriptor)
        if time.monotonic() >= deadline:
            raise BusyError(f"another process has been changing {path} for {timeout_s:.0f} s", hint="try again later")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _require_private(path: Path, descriptor: int) -> None:
    facts = os.fstat(descriptor)
    if facts.st_uid != os.geteuid():
        raise AccessError(
            f"{path} belongs to another user", hint="remove it, or choose another place with EDGELLM_HOME"
        )
    if facts.st_mode & 0o077:
        with os_errors(f"close {path} to other users"):
            os.fchmod(descriptor, 0o700)
