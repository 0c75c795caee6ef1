"""How long steps take, by the number of their tokens: what a wider step costs, learnt from those that were made."""

from __future__ import annotations

__all__ = ["PromptPace", "StepCosts"]

_WIDEST = 64  # tokens; wider steps are prompts
_LEAST_WEIGHT = 0.1  # of a new time in the running one
_OUTLIER = 4.0  # times the known cost: something else ran
_LONGEST_WAIT_S = 1.0  # of answers that are being written, for a part of somebody's prompt
_FEWEST_TOKENS = 32  # of a prompt in a step: below, the weights are read too often for too little
_TILE_TOKENS = 64  # that attention computes together: a part that ends within one pays for all of it


class StepCosts:
    """Running times of steps of 1 to 64 tokens, in seconds. Widths between two known ones are interpolated."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._counts: dict[int, int] = {}

    def learn(self, n_tokens: int, seconds: float) -> None:
        """A step of ``n_tokens`` took ``seconds``."""
        if not 0 < n_tokens <= _WIDEST:
            return
        known = self._seconds.get(n_tokens, seconds)
        count = self._counts[n_tokens] = self._counts.get(n_tokens, 0) + 1
        self._seconds[n_tokens] = known + max(_LEAST_WEIGHT, 1 / count) * (min(seconds, _OUTLIER * known) - known)

    def ratio(self, wide: int, narrow: int) -> float | None:
        """Cost of a step of ``wide`` tokens over that of ``narrow``; None when one of them cannot be told."""
        above, below = self._at(wide), self._at(narrow)
        if above is None or below is None:
            return None
        return max(1.0, above / below)

    def _at(self, n_tokens: int) -> float | None:
        if n_tokens in self._seconds:
            return self._seconds[n_tokens]
        lower = max((n for n in self._seconds if n < n_tokens), default=None)
        upper = min((n for n in self._seconds if n > n_tokens), default=None)
        if lower is None or upper is None:
            return None
        share = (n_tokens - lower) / (upper - lower)
        return self._seconds[lower] + share * (self._seconds[upper] - self._seconds[lower])


class PromptPace:
    """How many tokens of prompts a step may hold, so that answers beside them wait about a second at most for a token.

    Smaller parts cost the prompt more: 4,000 tokens of a 135M model took 5.2 s in parts of 512, 6.3 s in parts of 230.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seconds_per_token: float | None = None

    def learn(self, n_tokens: int, seconds: float) -> None:
        """A step with parts of prompts, of ``n_tokens`` in all, took ``seconds``."""
        if n_tokens < _FEWEST_TOKENS:
            return
        each, known = seconds / n_tokens, self._seconds_per_token
        self._seconds_per_token = each if known is None else known + 0.3 * (min(each, _OUTLIER * known) - known)

    @property
    def tokens(self) -> int:
        """For the next step; until one was made, a quarter of the most."""
        if self._seconds_per_token is None:
            return max(1, self._most // 4)
        tokens = int(_LONGEST_WAIT_S / self._seconds_per_token)
        return min(self._most, max(_FEWEST_TOKENS, tokens - tokens % _TILE_TOKENS))
