"""Which sequences go through the graph together, and how many of their tokens.

A run reads all weights once, and computes the padded rectangle of its first to its last sequence times its longest
slice. Measured (AVX2 and AVX-512 VNNI, int4): a run costs as much as three tokens more of another one, so
padding beyond that is worse than another run.

Long slices are cut into pieces: attention computes the scores of a run as one rectangle, new tokens times all of the
sequence, and throws away what lies ahead of a token. 512 tokens in pieces of 128 compute 62 % of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edgellm.devices.settings import ONNX_RUN_TOKENS
from edgellm_runtimes.backend import TokenSlice

__all__ = ["Piece", "Run", "cut_slices", "plan_runs"]

_RUN_COST = 3  # of the weights, in tokens
_PIECE = 128  # tokens; pieces are alike, so they have up to half as many more


class Piece(NamedTuple):
    """A part of a slice that goes through the graph at once."""

    slice_: TokenSlice
    first_row: int  # its first output row, among those of all slices


def cut_slices(slices: Sequence[TokenSlice]) -> Iterator[list[Piece]]:
    """The pieces of ``slices``: first those that each begins with, then those that follow them, and so on."""
    first_rows, rows = [], 0
    for slice_ in slices:
        first_rows.append(rows)
        rows += slice_.n_outputs
    counts = [max(1, round(len(slice_.tokens) / _PIECE)) for slice_ in slices]
    for number in range(max(counts, default=0)):
        yield [
            _piece(slice_, first_row, number, count)
            for slice_, first_row, count in zip(slices, first_rows, counts, strict=True)
            if number < count
        ]


def _piece(slice_: TokenSlice, first_row: int, number: int, count: int) -> Piece:
    length = len(slice_.tokens)
    first, end = number * length // count, (number + 1) * length // count
    row = length - slice_.n_outputs  # the first token that gives one
    n_outputs = max(0, end - max(first, row))
    part = TokenSlice(slice_.sequence, slice_.tokens[first:end], n_outputs)
    return Piece(part, first_row + max(0, first - row))


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
            fits = fits and (both.end - both.first) * both.width <= ONNX_RUN_TOKENS  # memory is planned for these
            if fits and both.cost <= runs[-1].cost + alone.cost:
                runs[-1] = both
                continue
        runs.append(alone)
    return runs


def _merge(left: Run, right: Run) -> Run:
    members = tuple(sorted((*left.members, *right.members)))
    return Run(min(left.first, right.first), max(left.end, right.end), max(left.width, right.width), members)
