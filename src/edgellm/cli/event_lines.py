"""What a command says as lines of JSON on stderr, for programs that run it: EDGELLM_PROGRESS=json.

Each line is one object: ``{"event": "phase", "name", "total_bytes"}``, ``{"event": "progress", "done_bytes"}``,
``{"event": "file", "digest", "size_bytes"}``, ``{"event": "message", "text"}``, ``{"event": "warning", "text"}`` or
``{"event": "error", "type", "message", "hint"}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any

__all__ = ["EventProgress", "emit", "events_wanted"]

_VARIABLE = "EDGELLM_PROGRESS"
_PAUSE_S = 0.1
_lock = threading.Lock()


def events_wanted() -> bool:
    """True when this command talks to a program."""
    return os.environ.get(_VARIABLE) == "json"


def emit(event: str, **fields: Any) -> None:
    """Write one event. That nobody reads it changes nothing about what is done."""
    line = json.dumps({"event": event, **fields}) + "\n"
    with _lock, contextlib.suppress(OSError, ValueError):
        sys.stderr.write(line)
        sys.stderr.flush()


class EventProgress:
    """See Progress. Bytes are told at most ten times a second."""

    def __init__(self) -> None:
        self._done = 0
        self._told = 0.0

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """Begin a phase."""
        self.close()
        self._done = 0
        emit("phase", name=name, total_bytes=total_bytes)

    def advance(self, size_bytes: int) -> None:
        """Count bytes."""
        self._done += size_bytes
        now = time.monotonic()
        if now - self._told >= _PAUSE_S:
            self._told = now
            emit("progress", done_bytes=self._done)

    def message(self, text: str) -> None:
        """A line for the user."""
        emit("message", text=text)

    def close(self) -> None:
        """Tell what was counted and not told."""
        if self._done:
            emit("progress", done_bytes=self._done)
