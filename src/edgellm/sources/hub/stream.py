"""A part of a file as the hub sends it, checked against what was asked for before a byte is handed on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgellm.sources.hub.failures import TransientError
from edgellm.sources.hub.repository import HubFile
from edgellm.sources.hub.transport import Answer

__all__ = ["RangeStream", "range_header"]

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def range_header(start: int, stop: int) -> dict[str, str]:
    """The request header for the bytes ``[start, stop)``."""
    return {"Range": f"bytes={start}-{stop - 1}"}


class RangeStream:
    """The bytes ``[start, stop)`` of ``file``; ``whole`` is True when the server ignored the range and sends all.

    ``stop`` may be less than what was asked for: servers may send a part of a range.
    """

    def __init__(self, answer: Answer, file: HubFile, start: int, stop: int) -> None:
        self._answer = answer
        self._file = file
        self.start, self.stop, self.whole = start, stop, False
        try:
            self._check()
        except TransientError:
            answer.abort()
            answer.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        """Pieces in order. Raises TransientError when they end too early."""
        left = self.stop - self.start
        for piece in self._answer.chunks():
            left -= len(piece)
            if left < 0:
                raise TransientError(f"more bytes of {self._file.path} came than were announced")
            yield piece
        if left:
            raise TransientError(f"the connection for {self._file.path} ended {left} bytes too early")

    def close(self) -> None:
        """Let the connection go."""
        self._answer.close()

    def abort(self) -> None:
        """End the iteration of another thread with a TransientError."""
        self._answer.abort()

    def _check(self) -> None:
        headers, path = self._answer.headers, self._file.path
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise TransientError(f"{path} came compressed, which was not asked for")
        if self._answer.status == 206:
            match = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
            if match is None or int(match[1]) != self.start or not self.start <= int(match[2]) < self.stop:
                raise TransientError(f"another part of {path} came than was asked for")
            if match[3] != "*" and int(match[3]) != self._file.size_bytes:
                raise TransientError(f"{path} has {match[3]} bytes on the server, {self._file.size_bytes} in the list")
            self.stop = int(match[2]) + 1
        elif self._answer.status == 200:
            self.start, self.stop, self.whole = 0, self._file.size_bytes, True
        else:
            raise TransientError(f"the server answers {self._answer.status} for {path}")
        length = headers.get("content-length")
        if length is not None and length.strip() != str(self.stop - self.start):
            raise TransientError(f"{length[:20]} bytes of {path} are announced instead of {self.stop - self.start}")
