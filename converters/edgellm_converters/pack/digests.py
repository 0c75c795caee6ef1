"""Digests of the source files, computed beside the quantization."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from edgellm.files import os_errors
from edgellm.progress import CancelToken

__all__ = ["SourceDigests"]

_READ_BYTES = 4 << 20


class SourceDigests:
    """Hashes files, given by name, in one background thread; hashlib lets go of the interpreter lock meanwhile."""

    def __init__(self, files: Mapping[str, Path], cancel: CancelToken) -> None:
        self._cancel = cancel
        self._pool = ThreadPoolExecutor(1, "source-digests")
        self._stop = False
        self._futures: dict[str, Future[str]] = {
            name: self._pool.submit(self._digest, path) for name, path in files.items()
        }

    def __enter__(self) -> SourceDigests:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._pool.shutdown(cancel_futures=True)

    def result(self) -> dict[str, str]:
        """File name -> ``sha256:...``; waits. Raises what reading raised."""
        return {name: future.result() for name, future in self._futures.items()}

    def _digest(self, path: Path) -> str:
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(_READ_BYTES))
        with os_errors(f"read {path}"), path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                if self._stop:
                    break
                self._cancel.check()
                digest.update(buffer[:count])
                if hasattr(os, "sched_yield"):
                    os.sched_yield()  # the quantizing threads come first
        return f"sha256:{digest.hexdigest()}"
