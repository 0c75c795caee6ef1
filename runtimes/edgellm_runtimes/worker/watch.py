"""Whether a worker that is alive does anything for those who wait for it.

Two things tell that it does not: its decode thread neither comes on nor uses the processor or a disk, as one that is
stopped or waits for a lock that nobody gives back; or it computes, but one step takes many times what steps took
before. A slow board, a long part of a prompt, a weight that comes from a slow disk are neither.
"""

from __future__ import annotations

from edgellm_runtimes.pulse import PulseReading
from edgellm_runtimes.watch_policy import WatchPolicy
from edgellm_runtimes.worker.vital_signs import VitalSigns

__all__ = ["Watch"]


class Watch:
    """Judges one worker from look to look."""

    def __init__(self, policy: WatchPolicy) -> None:
        self._policy = policy
        self._beats: int | None = None
        self._signs: VitalSigns | None = None
        self._still_s = 0.0
        self.silent_s = 0.0
        """For how long nothing has come of what it does."""
        self.is_stuck = False
        """True when that is longer than a step should take."""

    def reset(self) -> None:
        """Nobody waits for it, or it waits for this process: what was seen so far does not count."""
        self._beats = None
        self._came_on()

    def look(
        self, elapsed_s: float, *, answered: bool, reading: PulseReading | None, signs: VitalSigns | None
    ) -> str | None:
        """Why it is given up, as the end of a sentence; None while it is not.

        ``answered`` is False while the question of the last look is open, ``reading`` what its last answer said, None
        for a worker that loads. ``signs`` are the decode thread's where the question was answered, else the process's.
        """
        if answered and (reading is None or reading.is_idle or reading.beats != self._beats):
            self._beats = None if reading is None else reading.beats
            self._came_on()
            return None
        if signs is None or signs.is_traced:  # it has ended, or somebody debugs it
            return None
        elapsed_s = min(elapsed_s, 2 * self._policy.interval_s)  # this process may have been stopped itself
        self.silent_s += elapsed_s
        is_active = signs.is_at_work or signs.has_computed(self._signs)
        self._signs = signs
        self._still_s = 0.0 if is_active else self._still_s + elapsed_s
        if self._still_s >= self._policy.still_s:
            what = "was stopped by a signal" if signs.is_stopped else "did nothing"
            return f"{what} for {self._still_s:.0f} s while requests waited"
        expected_s = None if reading is None else reading.expected_s
        self.is_stuck = self.silent_s >= self._policy.suspicious_s(expected_s)
        limit_s = self._policy.limit_s(expected_s)
        if self.silent_s >= limit_s:
            return f"did not get on for {self.silent_s:.0f} s, with one step, while requests waited"
        return None

    def _came_on(self) -> None:
        self._still_s = self.silent_s = 0.0
        self.is_stuck = False
        self._signs = None
