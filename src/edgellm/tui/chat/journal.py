"""A file that only grows, line by line; what the disk does not take yet is kept in memory and written later.

One process writes it at a time (a lock on the file says so); any number may read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgellm.errors import BusyError, EdgeLLMError
from edgellm.files import os_errors, sync_data, translate_os_error

__all__ = ["Journal", "Place", "read_lines"]

_BLOCK_BYTES = 1 << 20
_LINE_END = b"\n"
_LONGEST_BYTES = 64 << 20  # of one line: nobody typed more


class Place(NamedTuple):
    """Where a line is, without its line end."""

    offset: int
    size: int


class Journal:
    """The lines of ``path``; of memory alone where it is None. ``close`` it at the end.

    ``problem`` is why the last lines are not on the disk yet, None when they are.
    """

    def __init__(self, path: Path | None, *, writable: bool = True) -> None:
        """Open the file, which is made where it is missing. Raises BusyError when another process writes it."""
        self.path = path
        self.writable = writable
        self.problem: EdgeLLMError | None = None
        self._descriptor: int | None = None
        self._pending = bytearray()
        self._end = 0  # of what is in the file
        if path is None:
            return
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        with os_errors(f"open the conversation {path}"):
            self._descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if writable:
                self._lock(path)
            self._end = os.fstat(self._descriptor).st_size
            if writable and self._end and os.pread(self._descriptor, 1, self._end - 1) != _LINE_END:
                self._pending += _LINE_END  # behind a line that was torn off
        except BaseException:
            os.close(self._descriptor)
            raise

    def _lock(self, path: Path) -> None:
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise translate_os_error(error, f"lock the conversation {path}") from error
            raise BusyError(
                "the conversation is open in another program", hint="end it there, or go on in a new conversation"
            ) from None

    @property
    def is_saved(self) -> bool:
        """True when every line is in the file."""
        return self.path is not None and self._pending in (b"", _LINE_END)

    def append(self, line: bytes, *, durable: bool = True) -> Place:
        """Add a line, which is there for readers at once; ``durable``: return when it is on the disk.

        What cannot be written is tried again with the next line, and by ``retry``.
        """
        place = Place(self._end + len(self._pending), len(line))
        self._pending += line + _LINE_END
        self.retry(durable=durable)
        return place

    def retry(self, *, durable: bool = True) -> bool:
        """Write what is not written; True when that is everything."""
        if self._descriptor is None:
            return False
        try:
            while self._pending:
                written = os.pwrite(self._descriptor, self._pending, self._end)
                self._end += written
                del self._pending[:written]
            if durable:
                sync_data(self._descriptor)
        except OSError as error:
            self.problem = translate_os_error(error, "save the conversation")
            return False
        self.problem = None
        return True

    def read(self, place: Place) -> bytes:
        """A line."""
        if place.offset >= self._end:
            start = place.offset - self._end
            return bytes(self._pending[start : start + place.size])
        assert self._descriptor is not None
        line = os.pread(self._descriptor, place.size, place.offset)
        missing = place.size - len(line)  # a part of it may be written, the rest not yet
        return line + bytes(self._pending[:missing]) if missing else line

    def lines(self) -> Iterator[tuple[Place, bytes]]:
        """Every line that the file has now."""
        if self._descriptor is not None:
            yield from read_lines(self._descriptor, self._end)

    def keep(self, path: Path) -> None:
        """Write what was in memory alone to a new file, and go on there."""
        assert self.path is None
        kept = Journal(path)
        kept._pending += self._pending
        kept.retry()
        self.path, self._descriptor, self._pending = path, kept._descriptor, kept._pending
        self._end, self.problem = kept._end, kept.problem

    def close(self) -> None:
        """Try once more to write what is left, and let go of the file."""
        if self._descriptor is None:
            return
        if self.writable and not self.is_saved:
            self.retry()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = None


def read_lines(descriptor: int, end: int) -> Iterator[tuple[Place, bytes]]:
    """The lines of an open file up to ``end``, the last one also without its line end; endless ones are passed over."""
    offset, rest = 0, b""
    position = 0
    while position < end and (block := os.pread(descriptor, min(_BLOCK_BYTES, end - position), position)):
        position += len(block)
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield Place(offset, len(line)), line
            offset += len(line) + 1
        if len(rest) > _LONGEST_BYTES:
            return
    if rest:
        yield Place(offset, len(rest)), rest
