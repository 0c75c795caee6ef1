"""Which bytes of a file are there."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["Range", "Ranges", "split"]

Range = tuple[int, int]  # start, stop


class Ranges:
    """A set of bytes, kept as sorted ranges ``[start, stop)`` that neither overlap nor touch."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def add(self, start: int, stop: int) -> None:
        """Put ``[start, stop)`` into the set."""
        if start >= stop:
            return
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def missing(self, start: int, stop: int) -> list[Range]:
        """The parts of ``[start, stop)`` that are not in the set, in order."""
        gaps = []
        for index in range(bisect_right(self._stops, start), len(self._starts)):
            if self._starts[index] >= stop:
                break
            if self._starts[index] > start:
                gaps.append((start, self._starts[index]))
            start = self._stops[index]
        if start < stop:
            gaps.append((start, stop))
        return gaps

    @property
    def prefix(self) -> int:
        """How many bytes from 0 on are in the set without a gap."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    @property
    def size_bytes(self) -> int:
        """How many bytes are in the set."""
        return sum(self._stops) - sum(self._starts)

    @property
    def end(self) -> int:
        """The byte behind the last one in the set."""
        return self._stops[-1] if self._stops else 0


def split(ranges: Iterable[Range], longest: int) -> list[Range]:
    """Cut each range into pieces of at most ``longest`` bytes."""
    return [(at, min(at + longest, stop)) for start, stop in ranges for at in range(start, stop, longest)]
