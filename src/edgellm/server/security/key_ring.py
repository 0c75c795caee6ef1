"""The keys that a running server accepts: those in the file at this moment."""

from __future__ import annotations

import hmac
import logging

from edgellm.errors import EdgeLLMError
from edgellm.server.security.key_file import ApiKey, KeyFile, hash_key

__all__ = ["KeyRing"]

_LONGEST_KEY = 512
_log = logging.getLogger("edgellm.server")


class KeyRing:
    """Reads the file again whenever it changes, so that a key counts, or ceases to, from the next request on."""

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._keys = file.read()
        self._version = self._stat()

    def __len__(self) -> int:
        self._refresh()
        return len(self._keys)

    def find(self, presented: str) -> ApiKey | None:
        """The key that ``presented`` is, or None. Takes as long for a near miss as for any other."""
        self._refresh()
        digest = hash_key(presented[:_LONGEST_KEY])
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def _refresh(self) -> None:
        version = self._stat()
        if version == self._version:
            return
        self._version = version
        try:
            self._keys = self._file.read()
        except EdgeLLMError as error:
            self._keys = ()
            _log.error("no API key is accepted until this is repaired: %s", error)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_mode
