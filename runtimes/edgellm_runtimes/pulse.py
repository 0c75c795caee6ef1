"""What the decode thread tells whoever watches it: that it comes on, and how long its present work may take."""

from __future__ import annotations

import threading
import time

import msgspec

__all__ = ["Pulse", "PulseReading"]

_WIDE = 32  # tokens: from here on a step costs as much as it has tokens, below it costs one reading of the weights
_DECAY = 0.99  # of the known costs, by step: the worst of the last hundred or so counts


class PulseReading(msgspec.Struct, frozen=True):
    """The decode thread at one moment."""

    beats: int  # grows with everything that it finishes
    is_idle: bool  # nothing is there to be computed
    busy_s: float  # since the last beat; 0 when idle
    expected_s: float | None  # at most, for the tokens that are computed now; None before any was
    thread_id: int | None  # the system's number of the thread


class Pulse:
    """Written by the decode thread, a microsecond a step; any thread may read it."""

    def __init__(self) -> None:
        self._beats = 0
        self._is_idle = True
        self._since = time.monotonic()
        self._n_tokens = 0
        self._narrow_s: float | None = None  # for a step
        self._wide_s: float | None = None  # for a token
        self._thread_id: int | None = None

    def start(self) -> None:
        """On the decode thread, before all else."""
        self._thread_id = threading.get_native_id()

    def beat(self) -> None:
        """It goes on to the next thing."""
        self._since = time.monotonic()
        self._beats += 1
        self._is_idle = False

    def rest(self) -> None:
        """It is about to wait for something to do."""
        self._beats += 1
        self._is_idle = True

    def begin(self, n_tokens: int) -> None:
        """A call of the backend begins."""
        self._n_tokens = n_tokens
        self.beat()

    def end(self, seconds: float) -> None:
        """It has ended after ``seconds``."""
        if self._n_tokens < _WIDE:
            self._narrow_s = max(seconds, _DECAY * (self._narrow_s or 0.0))
        else:
            self._wide_s = max(seconds / self._n_tokens, _DECAY * (self._wide_s or 0.0))
        self._n_tokens = 0
        self.beat()

    def read(self) -> PulseReading:
        """How it is now."""
        is_idle = self._is_idle
        busy_s = 0.0 if is_idle else time.monotonic() - self._since
        return PulseReading(self._beats, is_idle, busy_s, self._expected_s(), self._thread_id)

    def _expected_s(self) -> float | None:
        n_tokens, narrow_s, wide_s = self._n_tokens, self._narrow_s, self._wide_s
        if n_tokens < _WIDE:
            return narrow_s
        if wide_s is not None:
            return wide_s * n_tokens
        return None if narrow_s is None else narrow_s * n_tokens
