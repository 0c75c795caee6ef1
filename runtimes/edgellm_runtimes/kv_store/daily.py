"""How much was written today: an SD card wears out by writing, so each day has a limit.

The count lies in a small file beside the prefixes. It is replaced, not flushed: a power cut may lose it, a killed
process does not.
"""

from __future__ import annotations

import contextlib
import os

import msgspec

__all__ = ["add_written", "day_of", "written_on"]

_FILE = ".written"
_TEMPORARY = ".written.tmp"
_LIMIT_BYTES = 4096
_DAY_S = 86400


class _Written(msgspec.Struct, frozen=True):
    day: int
    size_bytes: int


def day_of(time_s: float) -> int:
    """The day, counted from 1970 in UTC."""
    return int(time_s // _DAY_S)


def written_on(descriptor: int, day: int) -> int:
    """Bytes that all processes have written on ``day``; 0 where the file tells of another day or of nothing."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(_FILE, flags, dir_fd=descriptor)
        try:
            record = msgspec.json.decode(os.read(file, _LIMIT_BYTES), type=_Written)
        finally:
            os.close(file)
        if record.day == day:
            return max(0, record.size_bytes)
    return 0


def add_written(descriptor: int, day: int, size_bytes: int) -> None:
    """Count ``size_bytes`` more for ``day``. For the holder of the folder's lock. Raises OSError."""
    data = msgspec.json.encode(_Written(day, written_on(descriptor, day) + size_bytes))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(_TEMPORARY, flags, 0o600, dir_fd=descriptor)
    try:
        os.write(file, data)
    finally:
        os.close(file)
    os.rename(_TEMPORARY, _FILE, src_dir_fd=descriptor, dst_dir_fd=descriptor)
