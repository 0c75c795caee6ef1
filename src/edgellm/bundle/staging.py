"""Private folders of writers. The kernel's lock on the folder tells a running writer's from a dead one's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgellm.errors import BusyError
from edgellm.files import os_errors

__all__ = ["StagingFolder", "dead_staging_folders", "remove_dead_staging"]

_ATTEMPTS = 100


class StagingFolder:
    """A new folder ``<parent>/<prefix><random>`` that is locked while this object is open.

    The lock is an flock on the folder itself: it ends with the process, however that ends, so a folder without a lock
    is garbage that anyone may remove.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        with os_errors(f"create a folder in {parent}"):
            parent.mkdir(parents=True, exist_ok=True)
            for _ in range(_ATTEMPTS):
                self.path = parent / f"{prefix}{secrets.token_hex(8)}"
                self.path.mkdir()
                # Until it is locked, a cleaner may take the folder for garbage: then let it have that one.
                try:
                    self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                if _lock(self._fd) and _same_folder(self.path, self._fd):
                    return
                os.close(self._fd)
        raise BusyError(f"cannot lock a new folder in {parent}", hint="run it again")

    def close(self) -> None:
        """Remove the folder with everything in it, and let go of the lock. Safe to call twice."""
        if self._fd >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._fd)
            self._fd = -1

    def release(self) -> None:
        """Let go of the lock without removing: the folder was renamed to its final place."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextlib.contextmanager
def dead_staging_folders(parent: Path, prefix: str) -> Iterator[list[Path]]:
    """The staging folders whose writer is gone, locked against everybody while the block runs."""
    with contextlib.ExitStack() as stack:
        dead = []
        for path in sorted(parent.glob(f"{glob_escape(prefix)}*")) if parent.is_dir() else []:
            try:
                file_descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue  # gone meanwhile, or not a folder of ours
            stack.callback(os.close, file_descriptor)
            if _lock(file_descriptor) and _same_folder(path, file_descriptor):
                dead.append(path)
        yield dead


def remove_dead_staging(parent: Path, prefix: str) -> None:
    """Remove what killed writers left. What cannot be removed (another user's) stays."""
    with dead_staging_folders(parent, prefix) as dead:
        for path in dead:
            shutil.rmtree(path, ignore_errors=True)


def glob_escape(text: str) -> str:
    """``text`` for use in a glob pattern, matching only itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def _lock(file_descriptor: int) -> bool:
    try:
        fcntl.flock(file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _same_folder(path: Path, file_descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file_descriptor))
    except FileNotFoundError:
        return False
