"""Messages on a stream: four bytes of length, then the message."""

from __future__ import annotations

import socket

from edgellm.errors import BackendError

__all__ = ["FrameReader", "frame"]

_LENGTH_BYTES = 4
_READ_BYTES = 1 << 16
_LONGEST = 1 << 28  # the token ids of the longest text that is tokenized are a third of it


def frame(message: bytes) -> bytes:
    """``message`` with its length. Raises BackendError for one that the other side would refuse."""
    if len(message) > _LONGEST:
        raise BackendError(f"a message of {len(message)} bytes is too long for a worker")
    return len(message).to_bytes(_LENGTH_BYTES, "big") + message


class FrameReader:
    """The receiving side of one socket."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        self._received = bytearray()

    def read(self) -> list[bytes] | None:
        """All messages that have come, at least one: waits for it. None when the other side has closed.

        Raises BackendError for a length that no message has.
        """
        while True:
            messages = self._split()
            if messages:
                return messages
            try:
                part = self._source.recv(_READ_BYTES)
            except ConnectionError:
                return None
            if not part:
                return None
            self._received += part

    def _split(self) -> list[bytes]:
        received, messages, start = self._received, [], 0
        while len(received) >= start + _LENGTH_BYTES:
            body = start + _LENGTH_BYTES
            length = int.from_bytes(received[start:body], "big")
            if length > _LONGEST:
                raise BackendError(f"a message of {length} bytes was announced")
            if len(received) < body + length:
                break
            messages.append(bytes(received[body : body + length]))
            start = body + length
        del received[:start]
        return messages
