"""A file that is hashed while it is written."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from edgellm.files import os_errors, sync_data

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["HashedStream"]

# Below this, handing the bytes to the hashing thread costs more than hashing them here.
_PARALLEL_BYTES = 256 << 10
_BUFFER_BYTES = 1 << 20
# The kernel would keep gigabytes of dirty pages until the final fsync; asking for them piece by piece lets the disk
# work while the caller still computes.
_FLUSH_BYTES = 64 << 20


class HashedStream:
    """Appends to an open file or pipe and keeps the SHA-256 and the size of what went through.

    Large writes are hashed in a second thread while the calling thread writes them (both release the GIL); ``write``
    returns when both are done, so the caller may reuse its buffer at once. Not thread-safe.
    """

    def __init__(self, file_descriptor: int, what: str, *, durable: bool = True) -> None:
        self._fd = file_descriptor
        self._durable = durable  # False for a pipe, which cannot be flushed to a disk
        self._what = what  # completes "cannot ..." in errors
        self._hash = hashlib.sha256()
        self._pending = bytearray()
        self._hasher: ThreadPoolExecutor | None = None
        self._flusher: ThreadPoolExecutor | None = None
        self._flush: Future[None] | None = None
        self._unflushed_bytes = 0
        self.size_bytes = 0

    def write(self, data: Buffer) -> int:
        """Append ``data`` (any C-contiguous buffer); returns its bytes. Raises NoSpaceError and its like."""
        view = memoryview(data).cast("B")
        self.size_bytes += len(view)
        if len(view) + len(self._pending) < _BUFFER_BYTES:
            self._pending += view
            return len(view)
        self._drain()
        self._put(view)
        return len(view)

    def finish(self) -> str:
        """Write what is buffered, wait until it is on the disk, and return the digest."""
        try:
            self._drain()
            if self._flush is not None:
                self._flush.result()
            if self._durable:
                with os_errors(self._what):
                    os.fsync(self._fd)
        finally:
            self.close()
        return f"sha256:{self._hash.hexdigest()}"

    def close(self) -> None:
        """End the helper threads; the file descriptor stays open, it is the caller's."""
        for pool in (self._hasher, self._flusher):
            if pool is not None:
                pool.shutdown(wait=True)
        self._hasher = self._flusher = None

    def _drain(self) -> None:
        if self._pending:
            data, self._pending = bytes(self._pending), bytearray()
            self._put(memoryview(data))

    def _put(self, view: memoryview) -> None:
        hashed: Future[None] | None = None
        if len(view) < _PARALLEL_BYTES:
            self._hash.update(view)
        else:
            self._hasher = self._hasher or ThreadPoolExecutor(1, "blob-hash")
            hashed = self._hasher.submit(self._hash.update, view)
        try:
            with os_errors(self._what):
                written = 0
                while written < len(view):
                    written += os.write(self._fd, view[written:])
        finally:
            if hashed is not None:
                hashed.result()
        self._start_flush(len(view))

    def _start_flush(self, size_bytes: int) -> None:
        self._unflushed_bytes += size_bytes
        if not self._durable:
            return
        if self._unflushed_bytes < _FLUSH_BYTES or (self._flush is not None and not self._flush.done()):
            return
        if self._flush is not None:
            self._flush.result()
        self._flusher = self._flusher or ThreadPoolExecutor(1, "blob-flush")
        self._flush = self._flusher.submit(_sync_data, self._fd, self._what)
        self._unflushed_bytes = 0


def _sync_data(file_descriptor: int, what: str) -> None:
    with os_errors(what):
        sync_data(file_descriptor)
