"""How fast something goes, from what was seen of it."""

from __future__ import annotations

from collections import deque

__all__ = ["SpeedMeter"]

_WINDOW_S = 15.0
_LEAST_S = 1.0  # two looks that are closer together say nothing


class SpeedMeter:
    """The speed of one phase over the last quarter of a minute. Times are of any clock that only goes forward."""

    def __init__(self) -> None:
        self._phase: object = None
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now_s: float, phase: object, done_bytes: int) -> None:
        """At ``now_s`` so much of ``phase`` was done. Another phase, or less than before, begins anew."""
        if phase != self._phase or (self._seen and done_bytes < self._seen[-1][1]):
            self._seen.clear()
            self._phase = phase
        self._seen.append((now_s, done_bytes))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - _WINDOW_S:
            self._seen.popleft()

    def bytes_per_s(self) -> float | None:
        """The speed; None as long as too little was seen."""
        if len(self._seen) < 2:
            return None
        (begun_s, begun), (last_s, last) = self._seen[0], self._seen[-1]
        took_s = last_s - begun_s
        return (last - begun) / took_s if took_s >= _LEAST_S else None

    def left_s(self, total_bytes: int | None) -> float | None:
        """How long the rest of ``total_bytes`` takes at this speed; None where nobody can tell."""
        speed = self.bytes_per_s()
        if total_bytes is None or not speed:
            return None
        return max(0, total_bytes - self._seen[-1][1]) / speed
