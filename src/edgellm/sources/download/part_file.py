"""A file that is arriving: written in any order, flushed behind the writing, resumed from what was flushed."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from edgellm.files import fsync_directory, os_errors, sync_data
from edgellm.sources.download.journal import Journal
from edgellm.sources.download.ranges import Range, Ranges
from edgellm.sources.hub.repository import HubFile

__all__ = ["FLUSH_BYTES", "PartFile", "journal_path", "part_path"]

FLUSH_BYTES = 16 << 20  # a kill loses at most this much of what was written
_FLUSH_S = 5.0  # on a slow connection that is minutes: then this often


def part_path(folder: Path, key: str) -> Path:
    """Where the bytes arrive."""
    return folder / f"{key}.part"


def journal_path(folder: Path, key: str) -> Path:
    """Where it is noted which of them are on the disk."""
    return folder / f"{key}.journal"


class PartFile:
    """The part file of ``file`` in ``folder``, whose open ``descriptor`` holds its lock. Used by one thread.

    Half of FLUSH_BYTES is written while the other half is flushed in the background, so that a slow disk and a slow
    network do not wait for each other; a third half waits.
    """

    def __init__(self, folder: Path, file: HubFile, descriptor: int) -> None:
        self.folder = folder
        self.file = file
        self.descriptor = descriptor
        self.written = Ranges()
        self._journal = Journal(journal_path(folder, file.key), file.key, file.size_bytes)
        self._waiting = Ranges()  # written, and in no flush yet
        self._waiting_bytes = 0
        self._flushed_at = time.monotonic()
        self._running: Future[None] | None = None
        self._pool = ThreadPoolExecutor(1, "flush")

    def resume(self) -> None:
        """Find out what an earlier process left. What the journal does not vouch for is not believed."""
        with os_errors(f"read what is there of {self.file.path}"):
            self.written = self._journal.open()
            size_bytes = os.fstat(self.descriptor).st_size
            if self.written.end > size_bytes or size_bytes > self.file.size_bytes:
                self.restart()
            fsync_directory(self.folder)

    def restart(self) -> None:
        """Begin from nothing."""
        self._wait()
        with os_errors(f"write {self.file.path}"):
            self._journal.restart()
            os.ftruncate(self.descriptor, 0)
        self.written, self._waiting, self._waiting_bytes = Ranges(), Ranges(), 0

    def write(self, start: int, data: bytes) -> int:
        """Write ``data`` at ``start``, apart from bytes that are there already; returns how many were new."""
        new_bytes = 0
        for first, last in self.written.missing(start, start + len(data)):
            self._write_new(first, memoryview(data)[first - start : last - start])
            new_bytes += last - first
        if self._waiting_bytes >= FLUSH_BYTES // 2 or time.monotonic() - self._flushed_at > _FLUSH_S:
            self._flush_behind()
        return new_bytes

    def write_whole(self, data: bytes) -> None:
        """Write a small file at once, without a journal."""
        with os_errors(f"write {self.file.path}"):
            os.ftruncate(self.descriptor, 0)
            if os.pwrite(self.descriptor, data, 0) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def flush(self) -> None:
        """Return when everything written is on the disk and in the journal."""
        self._wait()
        if self._waiting_bytes:
            self._flush(list(self._waiting))
            self._waiting, self._waiting_bytes = Ranges(), 0

    def finish(self, final: Path) -> None:
        """Give the whole, verified file its name; afterwards it survives a power cut."""
        with os_errors(f"write {final}"):
            os.fsync(self.descriptor)
            part_path(self.folder, self.file.key).replace(final)
            self._journal.remove()
            fsync_directory(self.folder)

    def remove(self) -> None:
        """Leave nothing of it."""
        self._wait()
        self._journal.remove()
        with suppress(FileNotFoundError):
            part_path(self.folder, self.file.key).unlink()

    def close(self) -> None:
        """Let go of everything but ``descriptor``."""
        self._pool.shutdown()
        self._journal.close()

    def _write_new(self, start: int, data: memoryview) -> None:
        at = start
        with os_errors(f"write {self.file.path}"):
            while data:
                count = os.pwrite(self.descriptor, data, at)
                data, at = data[count:], at + count
        self.written.add(start, at)
        self._waiting.add(start, at)
        self._waiting_bytes += at - start

    def _flush_behind(self) -> None:
        self._wait()
        self._flushed_at = time.monotonic()
        if self._waiting_bytes:
            self._running = self._pool.submit(self._flush, list(self._waiting))
            self._waiting, self._waiting_bytes = Ranges(), 0

    def _wait(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def _flush(self, ranges: list[Range]) -> None:
        with os_errors(f"write {self.file.path}"):
            sync_data(self.descriptor)
            self._journal.append(ranges)
