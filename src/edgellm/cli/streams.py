"""The standard streams of a command: closed ones are replaced, an output that cannot be written is remembered."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

__all__ = ["WatchedOutput", "forget_output", "open_closed_streams"]


class WatchedOutput:
    """A text stream that keeps in ``failure`` why something could not be written; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write as the stream does."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Flush as the stream does."""
        try:
            self._stream.flush()
        except OSError as error:
            self.failure = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def forget_output() -> None:
    """What is still to be written goes nowhere: Python would try once more at the end, and report that too."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def open_closed_streams() -> None:
    """A stream that the caller closed (``>&-``) takes what is written and forgets it.

    The descriptors too: otherwise the next file that is opened gets number 1 or 2, and native code writes into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.dup(number), "r" if number == 0 else "w", encoding="utf-8"))
