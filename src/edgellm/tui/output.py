"""What the screen is drawn on. Textual's writing thread ends with its first error; who draws then waits for ever."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

__all__ = ["forgiving_output"]


class _ForgivingOutput:
    """Writes to ``stream`` while that is possible: a terminal that was closed takes nothing, and nobody misses it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


@contextlib.contextmanager
def forgiving_output() -> Iterator[None]:
    """While the block runs, what Textual draws on (``sys.__stderr__``) raises no error."""
    before = sys.__stderr__
    if before is None:
        yield
        return
    sys.__stderr__ = cast("Any", _ForgivingOutput(before))  # type: ignore[misc]
    try:
        yield
    finally:
        sys.__stderr__ = before  # type: ignore[misc]
