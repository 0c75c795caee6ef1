"""The hash of a file while it arrives: its beginning without gaps is hashed by a thread of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from edgellm.errors import AccessError
from edgellm.files import os_errors
from edgellm.sources.hub.digest import new_hasher
from edgellm.sources.hub.repository import HubFile

__all__ = ["PrefixHasher"]

_BUFFER_BYTES = 1 << 20


class PrefixHasher:
    """Hashes the open file up to where ``reach`` says; hashlib lets other threads run meanwhile."""

    def __init__(self, file: HubFile, descriptor: int) -> None:
        self._file = file
        self._descriptor = descriptor
        self._hasher = new_hasher(file)
        self._reach = 0
        self._stopped = False
        self._failure: Exception | None = None
        self.hashed_bytes = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    def reach(self, size_bytes: int) -> None:
        """The first ``size_bytes`` are written."""
        with self._changed:
            self._reach = size_bytes
            self._changed.notify()

    def finish(self, poll_s: float, poll: Callable[[int], None]) -> str:
        """The hash of the whole file in hex; calls ``poll`` with the bytes hashed so far while it waits."""
        while self._thread.is_alive():
            self._thread.join(poll_s)
            poll(self.hashed_bytes)
        if self._failure is not None:
            raise self._failure
        return self._hasher.hexdigest()

    def stop(self) -> None:
        """End the thread; returns when it no longer uses the descriptor."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            with os_errors(f"read {self._file.path} back"):
                self._hash()
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            self._failure = error

    def _hash(self) -> None:
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        while self.hashed_bytes < self._file.size_bytes:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._reach > self.hashed_bytes)
                if self._stopped:
                    return
                room = min(_BUFFER_BYTES, self._reach - self.hashed_bytes)
            count = os.preadv(self._descriptor, [buffer[:room]], self.hashed_bytes)
            if count == 0:
                raise AccessError(f"{self._file.path} became shorter while it was downloaded")
            self._hasher.update(buffer[:count])
            self.hashed_bytes += count
