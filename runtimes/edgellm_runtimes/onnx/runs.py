"""Which sequences go through the graph together.

A run reads all weights once, and computes the padded rectangle of its first to its last sequence times its longest
slice. Measured (AVX2 and AVX-512 VNNI, int4): a run costs as much as three tokens more of another one, so
padding beyond that is worse than another run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgellm_runtimes.backend import TokenSlice

__all__ = ["Run", "plan_runs"]

_RUN_COST = 3  # of the weights, in tokens


class Run(NamedTuple):
    """One call of the graph: the sequences from ``first`` on, before ``end``; those without a slice are idle."""

    first: int
    end: int
    width: int  # tokens of the longest slice
    members: tuple[int, ...]  # places in the list of slices, in their order

    @property
    def cost(self) -> int:
        """In tokens."""
        return _RUN_COST + (self.end - self.first) * self.width


def plan_runs(slices: Sequence[TokenSlice], lengths: Sequence[int], capacity: int) -> list[Run]:
    """Runs that compute ``slices``; each sequence comes once. ``lengths`` are the tokens that sequences have already.

    What the kernel asks for holds in every run: what a sequence has and the longest slice fit into ``capacity``.
    """
    order = sorted(range(len(slices)), key=lambda place: (len(slices[place].tokens), slices[place].sequence))
    runs: list[Run] = []
    for place in order:
        sequence, width = slices[place].sequence, len(slices[place].tokens)
        alone = Run(sequence, sequence + 1, width, (place,))
        if runs:
            both = _merge(runs[-1], alone)
            fits = all(lengths[slices[member].sequence] + both.width <= capacity for member in both.members)
            fits = fits and (both.width < capacity or len(both.members) == both.end - both.first)
            if fits and both.cost <= runs[-1].cost + alone.cost:
                runs[-1] = both
                continue
        runs.append(alone)
    return runs


def _merge(left: Run, right: Run) -> Run:
    members = tuple(sorted((*left.members, *right.members)))
    return Run(min(left.first, right.first), max(left.end, right.end), max(left.width, right.width), members)
