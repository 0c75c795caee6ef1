"""When a worker that died may start again."""

from __future__ import annotations

import msgspec

__all__ = ["RestartClock", "RestartPolicy"]


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Times between starts. The first restart may come ``first_s`` after the start before it, each further one after
    twice as long. A worker that lived for ``stable_s`` begins anew."""

    first_s: float = 1.0
    longest_s: float = 60.0
    stable_s: float = 300.0


class RestartClock:
    """Counts the starts and deaths of one worker. Times are those of ``time.monotonic``."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._deaths = 0  # in a row, without a stable time between them
        self._started = 0.0
        self._lives = False
        self.starts = 0

    def started(self, now: float) -> None:
        """A worker is started."""
        self.starts += 1
        self._started = now
        self._lives = True

    def died(self, now: float) -> None:
        """It ended, or did not come up. Told again, nothing changes."""
        if not self._lives:
            return
        self._lives = False
        stable = now - self._started >= self._policy.stable_s
        self._deaths = 1 if stable else self._deaths + 1

    def wait_s(self, now: float) -> float:
        """Seconds until it may start."""
        if self._deaths == 0:
            return 0.0
        doublings = min(self._deaths - 1, 60)
        pause = min(self._policy.longest_s, self._policy.first_s * 2.0**doublings)
        return max(0.0, self._started + pause - now)
