"""When a model whose decode thread does not come on is told of, and when a worker is given up."""

from __future__ import annotations

import msgspec

__all__ = ["WatchPolicy"]


class WatchPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a worker is given up, in seconds that it was watched while requests waited.

    ``still_s`` is how long it may do nothing at all; waiting for other models' turns and for locks takes 10 s at most.
    One that computes may take ``factor`` times what was learnt of its steps, at least ``least_s`` and at most
    ``most_s``, which is also the limit before anything was learnt.
    """

    interval_s: float = 1.0  # between two looks
    still_s: float = 30.0
    least_s: float = 300.0
    factor: float = 20.0
    most_s: float = 1800.0

    def suspicious_s(self, expected_s: float | None) -> float:
        """From when a step is told of as one that may never end; see ``Core.status``."""
        return self.limit_s(expected_s) / 5

    def limit_s(self, expected_s: float | None) -> float:
        """For a step that computes and takes ``expected_s`` at most."""
        if expected_s is None:
            return self.most_s
        return min(self.most_s, max(self.least_s, self.factor * expected_s))
