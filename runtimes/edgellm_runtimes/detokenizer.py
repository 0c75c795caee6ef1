"""Token bytes to text that can be shown at once: no broken characters, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from edgellm.errors import UsageError

__all__ = ["IncrementalDetokenizer", "StopMatcher", "overlap"]

_MOST_STOPS = 64
_LONGEST_STOP = 1024


class IncrementalDetokenizer:
    """Joins token bytes into text; the first bytes of a character wait for the rest.

    Bytes that can never become a character turn into U+FFFD as soon as that is certain.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, piece: bytes) -> str:
        """The text that is complete with ``piece``."""
        return self._decoder.decode(piece)

    def finish(self) -> str:
        """What still waits: U+FFFD when a character was begun, else nothing."""
        return self._decoder.decode(b"", final=True)


class StopMatcher:
    """Finds stop strings in streamed text, across the borders of its pieces.

    Text that may be the beginning of a stop string is held back. Raises UsageError for an empty stop string, one of
    more than 1024 characters, or more than 64 of them.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        if isinstance(stops, str):
            stops = (stops,)
        self._stops = tuple(stops)
        if len(self._stops) > _MOST_STOPS:
            raise UsageError(f"{len(self._stops)} stop strings were given; at most {_MOST_STOPS} are possible")
        for stop in self._stops:
            if not isinstance(stop, str) or not 0 < len(stop) <= _LONGEST_STOP:
                raise UsageError(f"the stop string {stop!r:.80} must have 1 to {_LONGEST_STOP} characters")
        self._held = ""
        self.matched: str | None = None

    def push(self, text: str) -> str:
        """Add ``text``; returns what can be shown. After a match ``matched`` is set and the rest is dropped.

        The match that is complete first counts, of those the longest: how the text is cut does not matter then.
        """
        if not self._stops or self.matched is not None:
            return text if self.matched is None else ""
        self._held += text
        found = [(start + len(stop), start, stop) for stop in self._stops if (start := self._held.find(stop)) >= 0]
        if found:
            _end, start, self.matched = min(found)
            shown, self._held = self._held[:start], ""
            return shown
        keep = max(overlap(self._held, stop) for stop in self._stops)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def finish(self) -> str:
        """What was held back and turned out not to be a stop string."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that ``stop`` begins with."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
