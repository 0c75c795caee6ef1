"""How long operations report progress and learn that they should stop.

Lower rooms take a ``Progress`` and call it; the command line draws it, the server turns it into job events.
"""

from __future__ import annotations

import threading
from typing import Protocol

from edgellm.errors import Interrupted

__all__ = ["CancelToken", "Progress", "SilentProgress"]


class Progress(Protocol):
    """The receiver of progress. Methods may be called from any one thread at a time."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """A new phase begins; ``total_bytes`` is the work in it, None when unknown."""

    def advance(self, size_bytes: int) -> None:
        """``size_bytes`` more of the phase are done."""

    def message(self, text: str) -> None:
        """One line for the user that should stay visible."""


class SilentProgress:
    """Progress that goes nowhere."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """Ignore."""

    def advance(self, size_bytes: int) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""


class CancelToken:
    """A flag that one thread sets and the working thread polls."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the operation to stop at its next safe point."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """True once ``cancel`` was called."""
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until ``cancel`` is called, at most ``timeout_s`` seconds. True once it was."""
        return self._event.wait(timeout_s)

    def check(self) -> None:
        """Raise Interrupted when ``cancel`` was called."""
        if self._event.is_set():
            raise Interrupted("stopped", hint="nothing was left behind; run the command again to start over")
