"""Which servers of this user run: each says in a file where it answers, and holds a lock on that file while it lives.

The kernel lets go of the lock however the server ends, so a file that nobody holds is stale; process ids, which the
system gives out again, decide nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from edgellm.errors import AccessError, UsageError
from edgellm.files import os_errors, read_small_file

__all__ = ["RunningServer", "RuntimeFile", "private_folder", "running_servers", "watched"]

_LIMIT_BYTES = 64 << 10


class RunningServer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server answers. One of ``url`` and ``socket`` is there at least."""

    pid: int
    version: str
    store: str  # folder of its bundles
    started: float  # seconds since the epoch
    url: str | None = None
    socket: str | None = None  # path of a Unix socket

    @property
    def address(self) -> str:
        """What a person calls it by."""
        return self.url or f"unix:{self.socket}"


class RuntimeFile:
    """The file of a server that runs: ``edgellm-PID.json``, readable by its user alone. ``remove`` it at the end."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        """Write it in one step. Raises AccessError where others could write into ``folder``."""
        self.path = folder / _file_name(server.pid)
        self._folder = folder
        temporary = folder / f".{self.path.name}.tmp"
        with private_folder(folder), os_errors(f"write {self.path}"):
            self._descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
                os.write(self._descriptor, msgspec.json.encode(server) + b"\n")
                temporary.replace(self.path)  # no fsync: after a power cut there is no server either
            except BaseException:
                os.close(self._descriptor)
                temporary.unlink(missing_ok=True)
                raise

    def remove(self) -> None:
        """The server takes no more requests: clients shall not find it. The lock stays until its process has ended."""
        with contextlib.suppress(OSError, AccessError), private_folder(self._folder):
            self.path.unlink(missing_ok=True)


def running_servers(folder: Path) -> list[RunningServer]:
    """The servers that run, the one that started first in front. Files that dead ones left behind are removed."""
    found = []
    for path in folder.glob("edgellm-*.json"):
        with contextlib.suppress(OSError):
            if _is_held(path):
                with contextlib.suppress(msgspec.MsgspecError, UsageError):  # of another version
                    raw = read_small_file(path, _LIMIT_BYTES, "the runtime file")
                    found.append(msgspec.json.decode(raw, type=RunningServer))
    return sorted(found, key=lambda server: server.started)


@contextlib.contextmanager
def watched(folder: Path, server: RunningServer) -> Iterator[Callable[[], bool]]:
    """While the block runs, its value tells whether ``server`` runs still, also once its file is gone."""
    try:
        descriptor = os.open(
            folder / _file_name(server.pid), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError:  # it went away just now
        yield lambda: False
        return
    try:
        yield lambda: _is_locked(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def private_folder(folder: Path) -> Iterator[None]:
    """``folder``, made where it is missing, of this user alone, and locked against others who come and go.

    Raises AccessError where it belongs to somebody else, or others may write into it.
    """
    with os_errors(f"use the folder {folder}"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise AccessError(
                f"{folder} can be written by others, who could stand in for the server",
                hint=f"chmod 700 {folder}, or let XDG_RUNTIME_DIR name a folder of your own",
            )
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    """False where nobody holds the file: it is removed then."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if _is_locked(descriptor):
            return True
        with contextlib.suppress(AccessError), private_folder(path.parent):
            # another server may have put its own in this place
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                path.unlink()
        return False
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _file_name(pid: int) -> str:
    return f"edgellm-{pid}.json"
