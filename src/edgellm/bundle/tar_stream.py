"""An archive that comes through a pipe: read once, in its order, and given up as soon as the user says stop."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

from edgellm.errors import BundleError
from edgellm.files import os_errors
from edgellm.progress import CancelToken

__all__ = ["StreamSource"]

_BUFFER_BYTES = 1 << 20
_POLL_S = 0.2


class StreamSource:
    """The bytes of a file descriptor (see TarSource). Waiting for the sender does not keep Ctrl-C waiting."""

    def __init__(self, file_descriptor: int, where: str, cancel: CancelToken | None = None) -> None:
        self._fd = file_descriptor
        self._cancel = cancel or CancelToken()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self.where = where
        self.position = 0

    def read(self, size_bytes: int) -> bytes:
        """See TarSource."""
        return b"".join(bytes(part) for part in self._parts(size_bytes))

    def parts(self, size_bytes: int) -> Iterator[memoryview]:
        """The next bytes in pieces, each valid until the next is asked for. Raises BundleError at an early end."""
        end = self.position + size_bytes
        yield from self._parts(size_bytes)
        if self.position < end:
            raise BundleError(
                f"{self.where} ends in the middle: it is torn",
                hint="the sender was interrupted or refused to go on; its own message says why",
            )

    def skip(self, size_bytes: int) -> None:
        """See TarSource: the bytes are read, there is no other way past them."""
        for _ in self.parts(size_bytes):
            pass

    def _parts(self, size_bytes: int) -> Iterator[memoryview]:
        left = size_bytes
        while left > 0:
            piece = self._buffer[: min(left, len(self._buffer))]
            count = self._fill(piece)
            self.position += count
            left -= count
            yield piece[:count]
            if count < len(piece):
                return

    def _fill(self, piece: memoryview) -> int:
        """Fill ``piece``; returns fewer bytes than it has only at the end of the stream."""
        count = 0
        with os_errors(f"read {self.where}"):
            while count < len(piece):
                while not select.select([self._fd], [], [], _POLL_S)[0]:
                    self._cancel.check()
                self._cancel.check()
                got = os.readv(self._fd, [piece[count:]])
                if not got:
                    break
                count += got
        return count
