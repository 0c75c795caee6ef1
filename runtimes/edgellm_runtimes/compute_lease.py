"""Turns at computing, for all models that one user runs on one machine.

Two decode threads at once are slower than one after the other: their thread teams wait for each other on the same
cores. So each takes a turn for one step. Turns come in the order in which they were asked for, across processes and
within one, and a process that dies gives back its turn and its place in the queue, as the kernel does that.

How: locks on single bytes of one file (open file description locks, Linux 3.15). One byte is the turn. Whoever finds it
taken draws a ticket, locks the byte of that ticket, and waits until the byte of the ticket before is free: the queue of
Craig, Landin and Hagersten, in which nobody can be overtaken. Whoever finds nobody in the queue takes the turn at once.
Where a process dies while it queues, the one behind it may overtake one that still waits, once.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import tempfile
from pathlib import Path
from types import TracebackType

from edgellm.errors import AccessError, UnsupportedError

__all__ = ["ComputeLease", "lease_path"]

_TURN, _GATE, _FIRST_TICKET = 0, 1, 16  # bytes of the file
_TICKETS = 1 << 16  # more than there can be waiting threads
_COUNTER = struct.Struct("=Q")  # the next ticket; the whole content of the file
_FLOCK = struct.Struct("hhqqi4x")  # struct flock64: type, whence, start, length, process
_KIND = struct.Struct("h")


def _range(kind: int, start: int, length: int = 1) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


_TAKE_TURN, _END_TURN = _range(fcntl.F_WRLCK, _TURN), _range(fcntl.F_UNLCK, _TURN)
_PASS_GATE, _LEAVE_GATE = _range(fcntl.F_WRLCK, _GATE), _range(fcntl.F_UNLCK, _GATE)
_ALL_TICKETS = _range(fcntl.F_WRLCK, _FIRST_TICKET, _TICKETS)


class ComputeLease:
    """One decode thread's access to the turns. ``with lease.turn():`` around one step.

    Each thread needs a lease of its own. Raises AccessError where the file cannot be used, UnsupportedError on a system
    without such locks.
    """

    def __init__(self, path: Path | None = None) -> None:
        if not hasattr(fcntl, "F_OFD_SETLKW"):
            raise UnsupportedError("this system has no locks that models could take turns with")
        self.path = path or lease_path()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise AccessError(f"{self.path} cannot be opened: {error.strerror}") from error
        self._turn = _Turn(self._fd)
        try:
            with self._turn:
                pass
        except OSError as error:
            self.close()
            raise AccessError(f"{self.path} cannot be locked: {error.strerror}") from error

    def turn(self) -> _Turn:
        """A context manager that waits for the turn and gives it back: about 3 us when nobody else computes."""
        return self._turn

    def close(self) -> None:
        """Give back what is held. Calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Turn:
    """The turn of one lease: used again for every step, so that a step allocates nothing."""

    def __init__(self, file_descriptor: int) -> None:
        self._fd = file_descriptor
        self._place = 0  # of our ticket in the file; 0 without one

    def __enter__(self) -> None:
        if not self._somebody_queues():
            try:
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _TAKE_TURN)
                return
            except (BlockingIOError, PermissionError):  # POSIX allows either for a lock that is taken
                pass
        before = self._draw_ticket()
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, _range(fcntl.F_WRLCK, before))
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, before))
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, _TAKE_TURN)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _END_TURN)
        if self._place:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, self._place))
            self._place = 0

    def _somebody_queues(self) -> bool:
        found = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, _ALL_TICKETS)
        kind: int = _KIND.unpack_from(found)[0]
        return kind != fcntl.F_UNLCK

    def _draw_ticket(self) -> int:
        """Lock the byte of a new ticket. Returns the byte of the ticket before it."""
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, _PASS_GATE)
        try:
            drawn = os.pread(self._fd, _COUNTER.size, 0)
            number = _COUNTER.unpack(drawn)[0] % _TICKETS if len(drawn) == _COUNTER.size else 0
            os.pwrite(self._fd, _COUNTER.pack((number + 1) % _TICKETS), 0)
            place = _FIRST_TICKET + number
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _range(fcntl.F_WRLCK, place))
            self._place = place
        finally:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _LEAVE_GATE)
        return _FIRST_TICKET + (number - 1) % _TICKETS


def lease_path() -> Path:
    """The lock file of this user on this machine, its folder made. Raises AccessError.

    It lies in memory or on a local disk, never in the home folder, which machines may share.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK | os.X_OK):
        folder = Path(runtime) / "edgellm"
    else:
        folder = Path(tempfile.gettempdir()) / f"edgellm-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise AccessError(f"{folder} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise AccessError(f"{folder} belongs to somebody else, or others may write to it", hint="remove it")
    return folder / "compute.lock"
