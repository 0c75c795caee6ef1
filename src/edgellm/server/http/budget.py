"""Memory that many requests share."""

from __future__ import annotations

from edgellm.errors import BusyError

__all__ = ["BodyBudget"]


class BodyBudget:
    """Memory for the bodies that are being read, shared by all requests."""

    def __init__(self, limit_bytes: int) -> None:
        self._left_bytes = limit_bytes

    @property
    def left_bytes(self) -> int:
        """What nobody has taken."""
        return self._left_bytes

    def take(self, size_bytes: int) -> None:
        """Raises BusyError when the others leave too little."""
        if size_bytes > self._left_bytes:
            raise BusyError("other requests are sending too much at the moment", hint="try again in a second")
        self._left_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        """The end of ``take``."""
        self._left_bytes += size_bytes
