"""When a request is tried again, and how long is waited before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgellm.errors import Interrupted, NetworkError
from edgellm.progress import CancelToken
from edgellm.sources.hub.failures import TransientError
from edgellm.units import format_duration

__all__ = ["Backoff", "Patience", "pause_until"]

_SLICE_S = 0.1


@dataclass(frozen=True)
class Patience:
    """How long a hub may fail before a person is told.

    ``attempts`` counts failures in a row without a new byte; ``first_attempts`` counts them while the hub has never
    answered, so that a machine without a network says so after seconds. Waits double from ``first_wait_s`` to
    ``longest_wait_s``, give or take a quarter. A wait that the hub asks for (Retry-After, RateLimit) is honoured up to
    ``longest_asked_s``: its limits are counted in windows of five minutes.
    """

    attempts: int = 8
    first_attempts: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_asked_s: float = 330.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0


class Backoff:
    """The failures in a row of one request, or of one connection that keeps asking for more of a file."""

    def __init__(self, patience: Patience, say: Callable[[str], None], pause: Callable[[float], None]) -> None:
        self._patience = patience
        self._say = say
        self._pause = pause
        self._failures = 0

    def succeeded(self) -> None:
        """Bytes came: the count starts over."""
        self._failures = 0

    def failed(self, error: TransientError) -> None:
        """Wait before the next attempt, or raise NetworkError when there were enough."""
        patience = self._patience
        self._failures += 1
        most = patience.attempts if error.reached else min(patience.first_attempts, patience.attempts)
        if self._failures >= most:
            tries = f" (tried {self._failures} times)" if self._failures > 1 else ""
            raise NetworkError(f"{error}{tries}", hint=error.hint) from error
        wait_s = min(patience.first_wait_s * 2 ** (self._failures - 1), patience.longest_wait_s)
        wait_s *= random.uniform(0.75, 1.25)
        if error.asked_wait_s is not None:
            if error.asked_wait_s > patience.longest_asked_s:
                asked = format_duration(error.asked_wait_s)
                raise NetworkError(f"{error}; it asks to wait {asked}", hint="run the command again then") from error
            wait_s = max(wait_s, error.asked_wait_s * random.uniform(1.0, 1.1))
        self._say(f"{error}; retrying in {format_duration(wait_s)}")
        self._pause(wait_s)


def pause_until(wait_s: float, cancel: CancelToken | None) -> None:
    """Wait, and stop waiting at once when ``cancel`` is set. Raises Interrupted."""
    deadline = time.monotonic() + wait_s
    while True:
        if cancel is not None and cancel.cancelled:
            raise Interrupted("stopped", hint="run the command again; what was downloaded is kept")
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return
        time.sleep(min(left_s, _SLICE_S))
