"""How many tokens to propose for an answer, so that the step that checks them all is worth its time.

With acceptance p of each token, a proposal of k gives (1 - p^(k+1)) / (1 - p) tokens per step (Leviathan et al., 2023)
instead of one; the step costs more, by as much as the steps so far tell.
"""

from __future__ import annotations

from edgellm_runtimes.scheduler.drafting import Lookup
from edgellm_runtimes.scheduler.step_costs import StepCosts

__all__ = ["LENGTHS", "Speculation"]

LENGTHS = (2, 4, 8)
_FIRST_ACCEPTANCE = 0.6
_WEIGHT = 0.15
_WORTH = 1.05  # a proposal has to promise so much more
_RETRY_TOKENS = 128  # after so many proposals that were not made one is made all the same


class Speculation:
    """The drafter of one answer, and how often it was right."""

    def __init__(self) -> None:
        self.lookup = Lookup()
        self.proposed = 0
        self.accepted = 0
        self._acceptance = _FIRST_ACCEPTANCE
        self._silent = 0  # tokens without a proposal although there was one

    def propose(self, tokens: list[int], n_others: int, most: int, costs: StepCosts) -> list[int]:
        """Tokens to check in a step that computes ``n_others`` tokens besides; often none."""
        found = self.lookup.propose(tokens, min(most, LENGTHS[-1]))
        if not found:
            return []
        length = max(
            (length for length in LENGTHS if length <= len(found)),
            key=lambda length: self._gain(length, n_others, costs),
            default=0,
        )
        if length and self._gain(length, n_others, costs) > _WORTH:
            self._silent = 0
            return found[:length]
        self._silent += 1
        if self._silent < _RETRY_TOKENS:
            return []
        self._silent = 0  # a look at how it is by now
        return found[: LENGTHS[0]]

    def learn(self, proposed: int, accepted: int) -> None:
        """Of ``proposed`` tokens the first ``accepted`` were right."""
        self.proposed += proposed
        self.accepted += accepted
        for right in [True] * accepted + [False] * (accepted < proposed):
            self._acceptance += _WEIGHT * (right - self._acceptance)

    def _gain(self, length: int, n_others: int, costs: StepCosts) -> float:
        """Tokens of this answer over those without a proposal, in the same time. The others wait for a slower step."""
        p = min(self._acceptance, 0.999)
        tokens = (1 - p ** (length + 1)) / (1 - p)
        ratio = costs.ratio(n_others + 1 + length, n_others + 1)
        if ratio is None:
            return tokens  # not known yet: one such step tells
        return (n_others + tokens) / (n_others + 1) / ratio
