"""How many threads compute: fewer while other programs keep the processors busy.

The threads of a step wait for each other dozens of times in each layer. One that has lost its processor to another
program holds up all of them for a time slice each time: with more threads than free processors a step takes many times
as long as on those processors alone. That shows: the threads were promised a processor each, and got less time on them
than the step took. What a thread waits for at a disk looks the same, but leaves processors idle.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator

from edgellm.devices.busy import idle_seconds
from edgellm_runtimes.backend import Backend

__all__ = ["ThreadGovernor"]

_WINDOW_S = 0.1  # of computing, before a verdict: ten ticks of the slowest clocks
_SPIN_S = 0.001  # for at least so long the other threads wait for the next step in a loop
_LEAST_SHARE = 0.85  # of the time that the threads should have had
_IDLE_CORES = 0.6  # so much is free for another thread
_FIRST_TRIAL_S, _LAST_TRIAL_S = 0.5, 30.0  # until one more is tried, and after many that were in vain
_TRIAL_S = 2.0  # after so long one was not in vain


def idle_here() -> float | None:
    """Seconds that the processors of this process have idled so far, None where that cannot be told."""
    return idle_seconds(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


class ThreadGovernor:
    """Counts what steps get of the processors, and sets the threads of ``backend``. The decode thread calls it.

    ``idle`` gives the seconds that the processors have idled so far, all together. ``wall``, ``used`` and ``own`` are
    clocks in seconds: of the world, of all threads of this process, and of the calling one.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        idle: Callable[[], float | None] = idle_here,
        wall: Callable[[], float] = time.perf_counter,
        used: Callable[[], float] = time.process_time,
        own: Callable[[], float] = time.thread_time,
    ) -> None:
        self._backend = backend
        self._most = (backend.settings.threads, backend.settings.batch_threads)
        self._is_on = "threads" in backend.capabilities and max(self._most) > 1
        self._idle, self._wall, self._used, self._own = idle, wall, used, own
        self._fewer = 0
        self._team = 1  # threads of the last step
        self._wait_s = _FIRST_TRIAL_S
        self._tried = self._next_trial = -math.inf
        self._was_hindered = False  # in the window before
        self._ended = self._window_began = -math.inf
        self._computed_s = self._due_s = self._own_ended = self._between_s = self._used_before = 0.0
        self._idle_before: float | None = None

    @property
    def threads(self) -> tuple[int, int]:
        """For steps of one token, and of more."""
        return max(1, self._most[0] - self._fewer), max(1, self._most[1] - self._fewer)

    @contextlib.contextmanager
    def watch(self, n_tokens: int) -> Iterator[None]:
        """Around the computing of a step of ``n_tokens``, and nothing else."""
        if not self._is_on:
            yield
            return
        began = self._wall()
        if began - self._ended > _WINDOW_S:  # what happened in between says nothing about steps
            self._begin_window(began, self._idle())
        else:
            spinning_s = min(began - self._ended, _SPIN_S) * (self._team - 1)
            self._between_s += self._own() - self._own_ended + spinning_s
        try:
            yield
        finally:
            self._ended, self._own_ended = self._wall(), self._own()
            self._computed_s += self._ended - began
            self._team = self.threads[n_tokens > 1]
            self._due_s += (self._ended - began) * self._team
            if self._computed_s >= _WINDOW_S:
                idle = self._idle()
                self._judge(idle)
                self._begin_window(self._ended, idle)

    def _begin_window(self, now: float, idle: float | None) -> None:
        self._ended = self._window_began = now
        self._own_ended, self._used_before = self._own(), self._used()
        self._idle_before = idle
        self._computed_s = self._due_s = self._between_s = 0.0

    def _got_s(self) -> float:
        """Time on processors in this window.

        Of the whole window at once: the kernel books what other threads use when its clock ticks. Summed up step by
        step, a step about as long as a tick would seem to get nothing for as long as the ticks fall between steps.
        """
        return self._used() - self._used_before - self._between_s

    def _judge(self, idle: float | None) -> None:
        now = self._ended
        hindered = self._got_s() < _LEAST_SHARE * self._due_s
        lasts, self._was_hindered = hindered and self._was_hindered, hindered
        free = self._free_cores(idle, now)
        in_vain = now < self._tried + _TRIAL_S
        # once is nothing: whoever takes a processor for a moment costs less than a thread that is missing afterwards
        if (lasts or (hindered and in_vain)) and max(self.threads) > 1 and (free is None or free < _IDLE_CORES):
            self._wait_s = min(_LAST_TRIAL_S, 2 * self._wait_s) if in_vain else _FIRST_TRIAL_S
            self._next_trial = now + self._wait_s
            self._set(self._fewer + 1)
        elif not hindered and self._fewer and now >= self._next_trial and (free is None or free >= _IDLE_CORES):
            self._tried, self._next_trial = now, now + _TRIAL_S
            self._set(self._fewer - 1)

    def _free_cores(self, idle: float | None, now: float) -> float | None:
        """Processors that idled in this window, on average."""
        if idle is None or self._idle_before is None or now <= self._window_began:
            return None
        return (idle - self._idle_before) / (now - self._window_began)

    def _set(self, fewer: int) -> None:
        self._fewer = fewer
        self._backend.set_threads(*self.threads)
