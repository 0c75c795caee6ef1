"""Turns at computing, for all models that one user runs on one machine.

Two decode threads at once are slower than one after the other: their thread teams wait for each other on the same
cores. So each takes a turn for one step. Turns come in the order in which they were asked for, across processes and
within one; a process that dies gives back its turn and its place in the queue, as the kernel does that; and behind one
that was suspended in its turn nobody waits for ever.

How: locks on single bytes of one file (open file description locks, Linux 3.15). One byte is the turn. Whoever finds it
taken draws a ticket, locks the byte of that ticket, and waits until the byte of the ticket before is free: the queue of
Craig, Landin and Hagersten, in which nobody can be overtaken. Whoever finds nobody in the queue takes the turn at once.
Such locks cannot be waited for with a time limit, so waiting is on bells: named pipes beside the file, rung by whoever
gives something back. A bell that does not ring, because its ringer died, costs a twentieth of a second.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
import stat
import struct
import tempfile
import time
from pathlib import Path
from types import TracebackType

from edgellm.errors import AccessError, UnsupportedError

__all__ = ["ComputeLease", "lease_path"]

PATIENCE_S = 10.0
"""Longer than this nobody waits: from then on it computes without the turn, until that is free again."""

_TURN, _GATE, _FIRST_TICKET = 0, 1, 16  # bytes of the file
_TICKETS = 1 << 16  # more than there can be waiting threads
_BELLS = 16  # for tickets; with more in the queue some share one
_LOOK_AGAIN_MS = 50.0
_GATE_S = 50e-6  # between two looks at the gate, which is held for some microseconds
_COUNTER = struct.Struct("=Q")  # the next ticket; the whole content of the file
_FLOCK = struct.Struct("hhqqi4x")  # struct flock64: type, whence, start, length, process
_KIND = struct.Struct("h")


def _range(kind: int, start: int, length: int = 1) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


_TAKE_TURN, _END_TURN = _range(fcntl.F_WRLCK, _TURN), _range(fcntl.F_UNLCK, _TURN)
_ALL_TICKETS = _range(fcntl.F_WRLCK, _FIRST_TICKET, _TICKETS)


class ComputeLease:
    """One decode thread's access to the turns. ``with lease.turn():`` around one step.

    Each thread needs a lease of its own. Raises AccessError where the file cannot be used, UnsupportedError on a system
    without such locks.
    """

    def __init__(self, path: Path | None = None, *, patience_s: float = PATIENCE_S) -> None:
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise UnsupportedError("this system has no locks that models could take turns with")
        self.path = path or lease_path()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise AccessError(f"{self.path} cannot be opened: {error.strerror}") from error
        self._bells = _Bells(self.path)
        self._turn = _Turn(self._fd, self._bells, patience_s)
        try:
            self._turn.somebody_queues()
            self._bells.ring(_TURN)
        except OSError as error:
            self.close()
            raise AccessError(f"{self.path} cannot be locked: {error.strerror}") from error

    def turn(self) -> _Turn:
        """A context manager that waits for the turn and gives it back: microseconds when nobody else computes."""
        return self._turn

    def close(self) -> None:
        """Give back what is held. Calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._bells.close()


class _Turn:
    """The turn of one lease: used again for every step, so that a step allocates next to nothing."""

    def __init__(self, file_descriptor: int, bells: _Bells, patience_s: float) -> None:
        self._fd = file_descriptor
        self._bells = bells
        self._patience_s = patience_s
        self._ticket = -1  # none
        self.is_held = False  # False inside a turn, too, when it did not come in time
        self._lost_patience = False

    def __enter__(self) -> None:
        if (self._lost_patience or not self.somebody_queues()) and self._lock(_TAKE_TURN):
            self.is_held, self._lost_patience = True, False
        elif not self._lost_patience:
            self.is_held = self._queue(time.monotonic() + self._patience_s)
            self._lost_patience = not self.is_held

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self.is_held:
            self.is_held = False
            self._unlock(_END_TURN)
        if self._ticket >= 0:
            self._unlock(_range(fcntl.F_UNLCK, _FIRST_TICKET + self._ticket))
            self._bells.ring(_FIRST_TICKET + self._ticket + 1)
            self._ticket = -1
        elif self.somebody_queues():
            self._bells.ring(_TURN)

    def somebody_queues(self) -> bool:
        """True while another lease has a ticket."""
        kind: int = _KIND.unpack_from(fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, _ALL_TICKETS))[0]
        return kind != fcntl.F_UNLCK

    def _queue(self, deadline: float) -> bool:
        """Wait for the turn; False when it did not come in time."""
        if not self._draw_ticket(deadline):
            return False
        before = _FIRST_TICKET + (self._ticket - 1) % _TICKETS
        if not self._wait(_range(fcntl.F_WRLCK, before), _FIRST_TICKET + self._ticket, deadline):
            return False
        self._unlock(_range(fcntl.F_UNLCK, before))
        return self._wait(_TAKE_TURN, _TURN, deadline)

    def _draw_ticket(self, deadline: float) -> bool:
        """Lock the byte of a new ticket. False when others kept the gate all the time."""
        while not self._lock(_range(fcntl.F_WRLCK, _GATE)):
            if time.monotonic() > deadline:
                return False
            time.sleep(_GATE_S)
        try:
            drawn = os.pread(self._fd, _COUNTER.size, 0)
            number: int = _COUNTER.unpack(drawn)[0] % _TICKETS if len(drawn) == _COUNTER.size else 0
            os.pwrite(self._fd, _COUNTER.pack((number + 1) % _TICKETS), 0)
            if self._lock(_range(fcntl.F_WRLCK, _FIRST_TICKET + number)):
                self._ticket = number
        finally:
            self._unlock(_range(fcntl.F_UNLCK, _GATE))
        return self._ticket >= 0

    def _wait(self, wanted: bytes, bell: int, deadline: float) -> bool:
        """Lock ``wanted`` when ``bell`` rings; False when that did not succeed in time."""
        while not self._lock(wanted):
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0:
                return False
            self._bells.wait(bell, min(left_ms, _LOOK_AGAIN_MS))
        return True

    def _lock(self, wanted: bytes) -> bool:
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):  # POSIX allows either for a lock that is taken
            return False
        return True

    def _unlock(self, given: bytes) -> None:
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, given)


class _Bells:
    """Named pipes that wake waiting processes. A ring is kept until somebody waits; one too many does no harm."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[int, int] = {}

    def ring(self, number: int) -> None:
        """Wake whoever waits for ``number``, or will."""
        with contextlib.suppress(BlockingIOError):  # it is full of rings
            os.write(self._bell(number), b"!")

    def wait(self, number: int, timeout_ms: float) -> None:
        """Until a ring or the timeout."""
        bell = self._bell(number)
        poll = select.poll()
        poll.register(bell, select.POLLIN)
        if poll.poll(timeout_ms):
            with contextlib.suppress(BlockingIOError):  # another one that waits for the same was faster
                os.read(bell, 1 << 16)

    def close(self) -> None:
        """Close the pipes; they stay for the others."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _bell(self, number: int) -> int:
        place = _BELLS if number == _TURN else number % _BELLS
        if place not in self._open:
            path = self._path.with_name(f"{self._path.name}.bell{place}")
            with contextlib.suppress(FileExistsError):
                os.mkfifo(path, 0o600)
            flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW  # O_RDWR: neither end is ever missing
            self._open[place] = os.open(path, flags)
        return self._open[place]


def lease_path() -> Path:
    """The lock file of this user for the processors that this process may use, its folder made. Raises AccessError.

    Processes on other processors (`taskset`, CPUAffinity= of a service) have another file and do not wait. It lies in
    memory or on a local disk, never in the home folder, which machines may share.
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
    return folder / f"compute{_processors()}.lock"


def _processors() -> str:
    """The processors of this process as a part of a file name; nothing where these are all."""
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(mine) == os.cpu_count() or not mine:
        return ""
    mask = sum(1 << number for number in mine)
    return f"-{mask:x}" if mask.bit_length() <= 512 else f"-{hashlib.sha256(str(mask).encode()).hexdigest()[:32]}"
