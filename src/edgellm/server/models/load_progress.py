"""How far a load has come."""

from __future__ import annotations

import logging

__all__ = ["LoadProgress"]

_log = logging.getLogger("edgellm.server.models")


class LoadProgress:
    """A Progress that keeps the last word; called on another thread than it is read on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.current = "waiting"
        self.done_bytes = 0
        self.total_bytes: int | None = None

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """See ``Progress``."""
        self.current, self.done_bytes, self.total_bytes = name, 0, total_bytes

    def advance(self, size_bytes: int) -> None:
        """See ``Progress``."""
        self.done_bytes += size_bytes

    def message(self, text: str) -> None:
        """The log keeps it."""
        _log.info("%s: %s", self.name, text)
