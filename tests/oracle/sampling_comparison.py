"""Sampling here and in another program: equal, or apart only at the edge of a set."""

from __future__ import annotations

import numpy as np

from edgellm_runtimes.sampling import SamplingParams
from sampling_reference import Context, Floats, Row, error_of, outcomes

__all__ = ["SLACK", "Comparison", "differs"]

SLACK = 1e-5
_NOTHING = 1e-36  # single precision ends there


def differs(
    ours: Floats, theirs: Floats, row: Row, params: SamplingParams, context: Context, slack: float = SLACK
) -> bool:
    """False when both are equal. True when both are right, with a token at the edge that may fall to either side.

    The edge of ``theirs`` is as wide as their sums may be off, ``slack``; ours must be what exact sums give.
    """
    if ((ours > _NOTHING) == (theirs > _NOTHING)).all() and np.abs(ours - theirs).max() < SLACK:
        return False
    assert error_of(theirs, outcomes(row, params, context, slack)) < 2 * slack
    assert error_of(ours, outcomes(row, params, context)) < 1e-6
    return True


class Comparison:
    """Many rows, and how many of those that the other program adds up well had a token at the edge."""

    def __init__(self, added_up_well: int) -> None:
        self._added_up_well = added_up_well  # so many tokens
        self._rows = self._at_the_edge = 0

    def add(self, ours: Floats, theirs: Floats, row: Row, params: SamplingParams, context: Context) -> None:
        size = len(row) / self._added_up_well
        self._at_the_edge += differs(ours, theirs, row, params, context, SLACK * max(1.0, size)) and size <= 1.0
        self._rows += 1

    def close(self) -> None:
        """There were rows, and hardly any with a token at the edge."""
        assert self._rows > 0
        assert self._at_the_edge <= 0.03 * self._rows
