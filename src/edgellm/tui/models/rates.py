"""What happens per second, from counters that only grow."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from edgellm.api.watching import Statistics

__all__ = ["ActivityHistory", "Rates"]

_KEPT = 240  # moments
_GAP_S = 10.0  # after a longer pause nothing is known about the time between


class Rates(NamedTuple):
    """All models at one moment, or over the time since the one before. None at the first look."""

    decoded_per_s: float | None  # tokens
    prefilled_per_s: float | None  # tokens
    running: int  # answers
    waiting: int


class ActivityHistory:
    """The last minutes of a server, as far as somebody watched."""

    def __init__(self) -> None:
        self._before: Statistics | None = None
        self._kept: deque[Rates] = deque(maxlen=_KEPT)
        self._model_rates: dict[str, float] = {}

    def take(self, statistics: Statistics) -> Rates:
        """One moment more. Moments that are older than the last one begin anew: another server answers."""
        before, self._before = self._before, statistics
        took_s = 0.0 if before is None else statistics.time - before.time
        if before is None or not 0 < took_s <= _GAP_S or statistics.uptime_s < before.uptime_s:
            self._model_rates = {}
            rates = Rates(None, None, *_queue(statistics))
        else:
            made, read = _growth(before, statistics)
            self._model_rates = {digest: tokens / took_s for digest, tokens in made.items()}
            rates = Rates(sum(made.values()) / took_s, sum(read.values()) / took_s, *_queue(statistics))
        self._kept.append(rates)
        return rates

    def model_rate(self, digest: str) -> float | None:
        """Tokens per second that a model made last; None where nobody knows."""
        return self._model_rates.get(digest)

    @property
    def decoded(self) -> list[float | None]:
        """Tokens per second, the oldest first."""
        return [rates.decoded_per_s for rates in self._kept]

    @property
    def prefilled(self) -> list[float | None]:
        """Tokens of prompts per second, the oldest first."""
        return [rates.prefilled_per_s for rates in self._kept]

    @property
    def queued(self) -> list[float | None]:
        """Answers that run or wait, the oldest first."""
        return [rates.running + rates.waiting for rates in self._kept]


def _queue(statistics: Statistics) -> tuple[int, int]:
    """Answers that run, and requests that wait for a turn or for their model."""
    running = waiting = 0
    for model in statistics.models:
        counters = model.counters
        computed = 0 if counters is None else counters.running + counters.embedding
        running += computed
        waiting += max(0 if counters is None else counters.waiting, model.status.requests - computed)
    return running, waiting


def _growth(before: Statistics, after: Statistics) -> tuple[dict[str, int], dict[str, int]]:
    """Tokens that each model (by digest) made and read between two moments. A worker that began anew counts from 0."""
    were = {model.status.digest: model.counters for model in before.models}
    made, read = {}, {}
    for model in after.models:
        now, then = model.counters, were.get(model.status.digest)
        if now is None:
            continue
        restarted = then is None or then.generated_tokens > now.generated_tokens or then.steps > now.steps
        digest = model.status.digest
        made[digest] = now.generated_tokens - (0 if restarted or then is None else then.generated_tokens)
        read[digest] = now.prompt_tokens - (0 if restarted or then is None else then.prompt_tokens)
    return made, read
