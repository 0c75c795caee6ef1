"""Proposes the next tokens of an answer from its own text: what followed the same few tokens before."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Lookup"]

_LONGEST_KEY = 3  # tokens that have to be the same
_SHORTEST_KEY = 2


class Lookup:
    """Where each short run of tokens was seen last in one growing text (prompt lookup, Saxena 2023)."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], int] = {}  # a run -> the position after it
        self._indexed = 0

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """At most ``most`` tokens that may follow ``tokens``; none where their end was not seen before.

        ``tokens`` has to begin with what it held at the last call.
        """
        self._index(tokens)
        end = len(tokens)
        for length in range(_LONGEST_KEY, _SHORTEST_KEY - 1, -1):
            found = self._ends.get(tuple(tokens[max(0, end - length) : end]))
            if found is not None:
                period = end - found  # a text that repeats itself up to its end goes on so
                return [tokens[found + i % period] for i in range(most)]
        return []

    def clear(self) -> None:
        """Begin anew, for a text that was changed."""
        self._ends.clear()
        self._indexed = 0

    def _index(self, tokens: Sequence[int]) -> None:
        """Every run that something follows; the one at the very end is what is looked for."""
        for end in range(max(self._indexed, _SHORTEST_KEY), len(tokens)):
            for length in range(_SHORTEST_KEY, _LONGEST_KEY + 1):
                if end >= length:
                    self._ends[tuple(tokens[end - length : end])] = end
        self._indexed = len(tokens)
