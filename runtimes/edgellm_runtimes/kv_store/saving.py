"""One prefix on its way to the disk: a temporary file that is locked while its writer lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from edgellm_runtimes.kv_store.entry_file import append_meta
from edgellm_runtimes.kv_store.folder import TEMPORARY_SUFFIX
from edgellm_runtimes.kv_store.key import PrefixKey, PrefixKind, entry_name

__all__ = ["Saving"]


class Saving:
    """A prefix being saved. The backend writes its state to ``path``; ``seal`` and ``publish`` make an entry of it.

    Made by the holder of the folder's lock, so that nobody takes the file for a leftover before it is locked.
    """

    def __init__(
        self, folder: Path, descriptor: int, key: PrefixKey, kind: PrefixKind, scope: str, tokens: bytes
    ) -> None:
        self.key, self.kind, self.scope, self.tokens = key, kind, scope, tokens
        self.name = entry_name(key, kind, scope, tokens)
        temporary = f".{self.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
        self.path = folder / temporary
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(temporary, flags, 0o600, dir_fd=descriptor)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.size_bytes = 0

    def state_bytes(self) -> int:
        """Bytes that the backend wrote."""
        return os.fstat(self._file).st_size

    def seal(self) -> None:
        """Add tokens, header and digests, and wait until all is on the disk. Raises OSError."""
        self.size_bytes = append_meta(self._file, self.key, self.kind, self.scope, self.tokens, self.state_bytes())
        os.fsync(self._file)

    def publish(self, descriptor: int) -> None:
        """Give it its name. For the holder of the folder's lock. Raises OSError."""
        os.rename(self.path.name, self.name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        self._close()

    def discard(self) -> None:
        """Remove what was written, unless it was published."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
            self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
