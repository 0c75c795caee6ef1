"""The journal of a part file: which bytes of it are safely on the disk.

::

    edgellm-download 1 <hash of the whole file> <its size>
    <start> <stop> <crc32 of the two>          one line for each range, appended after the data was synced

A power cut can tear the last line only; whatever else does not read as it was written makes the journal worthless.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edgellm.files import sync_data
from edgellm.sources.download.ranges import Range, Ranges

__all__ = ["Journal"]

_LIMIT_BYTES = 64 << 20


class Journal:
    """The journal at ``path`` of the file with this hash and size. Its owner holds the lock of the part file."""

    def __init__(self, path: Path, key: str, size_bytes: int) -> None:
        self.path = path
        self._header = f"edgellm-download 1 {key} {size_bytes}\n".encode()
        self._size_bytes = size_bytes
        self._descriptor: int | None = None

    def open(self) -> Ranges:
        """What the journal vouches for, which is nothing when it is absent or damaged; opens it for more lines."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor = os.open(self.path, flags, 0o644)
        with open(self._descriptor, "rb", closefd=False) as file:
            data = file.read(_LIMIT_BYTES)
        ranges, good_bytes = self._parse(data)
        if good_bytes == 0:
            self._begin()
        else:
            os.ftruncate(self._descriptor, good_bytes)
            os.lseek(self._descriptor, good_bytes, os.SEEK_SET)
        return ranges

    def append(self, ranges: Iterable[Range]) -> None:
        """Note ranges whose data is on the disk already; returns when the note is there too."""
        self._write(b"".join(_line(start, stop) for start, stop in ranges))

    def restart(self) -> None:
        """Forget everything."""
        self._begin()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Close and remove the file."""
        self.close()
        with suppress(FileNotFoundError):
            self.path.unlink()

    def _begin(self) -> None:
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._write(self._header)

    def _write(self, data: bytes) -> None:
        assert self._descriptor is not None
        while data:
            data = data[os.write(self._descriptor, data) :]
        sync_data(self._descriptor)

    def _parse(self, data: bytes) -> tuple[Ranges, int]:
        """The ranges, and how many bytes of the journal are good."""
        if not data.startswith(self._header):
            return Ranges(), 0
        good_bytes = data.rfind(b"\n") + 1
        ranges = Ranges()
        for line in data[len(self._header) : good_bytes].splitlines(keepends=True):
            found = _parse_line(line)
            if found is None or found[1] > self._size_bytes:
                return Ranges(), 0
            ranges.add(*found)
        return ranges, good_bytes


def _line(start: int, stop: int) -> bytes:
    text = b"%d %d" % (start, stop)
    return b"%s %08x\n" % (text, zlib.crc32(text))


def _parse_line(line: bytes) -> Range | None:
    fields = line.split(b" ")
    if len(fields) != 3 or not all(field.isdigit() and len(field) < 18 for field in fields[:2]):
        return None
    start, stop = int(fields[0]), int(fields[1])
    return (start, stop) if start < stop and line == _line(start, stop) else None
