"""Rows to choose from, and the kernels asked in every way that shows which token has which probability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgellm_runtimes import _sampling
from edgellm_runtimes.sampler import native_parameters
from edgellm_runtimes.sampling import SamplingParams
from sampling_reference import Context, Floats, Row, dense

__all__ = ["KINDS", "OFF", "Interval", "Rig", "make_row", "mask_words"]

OFF: dict[str, object] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""Everything that is on by default, turned off."""

KINDS = ("peaked", "flat", "offset", "tied", "lattice", "few", "infinite")
_SPREAD = {"peaked": 3.0, "flat": 1.5, "offset": 3.0, "tied": 0.0, "lattice": 2.0, "few": 3.0, "infinite": 3.0}
_LAST = 1.0 - 2.0**-53  # the largest uniform number
_STEP = 2.0**-27  # how closely the edge of an interval is found


def make_row(kind: str, n_vocab: int, rng: np.random.Generator) -> Row:
    """Logits: with tokens that stand out, without, far from 0, all equal, in steps of 1/2, nine tenths at -inf, or with
    some at +inf."""
    row = rng.standard_normal(n_vocab) * _SPREAD[kind]
    if kind == "peaked":
        row[rng.integers(0, n_vocab, 50)] += rng.uniform(0, 18, 50)
    elif kind == "offset":
        row += 20.0
    elif kind == "lattice":
        row = np.round(row * 2) / 2
    elif kind == "few":
        row[rng.random(n_vocab) < 0.9] = -np.inf
        row[rng.integers(n_vocab)] = 1.0
    elif kind == "infinite":
        row[rng.integers(0, n_vocab, 3)] = np.inf
    return row.astype(np.float32)


def mask_words(allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """The mask of one row, uint32 [1, ceil(n_vocab / 32)]."""
    padded = np.pad(allowed, (0, -len(allowed) % 32))
    return np.packbits(padded, bitorder="little").view(np.uint32)[None]


class Interval(NamedTuple):
    """The uniform numbers that give one token."""

    token: int
    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


class Rig:
    """The kernels with one set of parameters; nothing that is asked here changes what the next answer is."""

    def __init__(self, params: SamplingParams, context: Context | None = None, tier: str = "") -> None:
        self.context = Context() if context is None else context
        self.tier = tier
        self._native = native_parameters(params, 1, self.context.breakers)
        self._sequences: list[_sampling.Sequence] = []
        self._masks = None if self.context.allowed is None else mask_words(self.context.allowed)

    def sequence(self) -> _sampling.Sequence:
        """A new sequence with the history of the context."""
        sequence = _sampling.Sequence(self._native)
        sequence.prompt(np.asarray(self.context.prompt, np.int32))
        for token in self.context.generated:
            sequence.accept(token)
        if self.context.mirostat_mu is not None:
            sequence.mirostat_mu = self.context.mirostat_mu
        return sequence

    def distribution(self, row: Row) -> Floats:
        """Probabilities of all tokens."""
        uniforms = np.array([[0.0, self.context.xtc_uniform]])
        return dense(*_sampling.distribution(self.sequence(), row[None], self._masks, uniforms, self.tier), len(row))

    def draw(self, row: Row, points: Floats) -> npt.NDArray[np.int32]:
        """The token of each of the uniform numbers."""
        count = len(points)
        while len(self._sequences) < count:
            self._sequences.append(self.sequence())
        uniforms = np.column_stack([points, np.full(count, self.context.xtc_uniform)])
        masks = None if self._masks is None else np.repeat(self._masks, count, 0)
        rows = np.broadcast_to(row, (count, len(row)))
        sequences = self._sequences[:count]
        return np.array(_sampling.sample(sequences, rows, masks, 1, uniforms, False, self.tier), np.int32)

    def intervals(self, row: Row) -> list[Interval]:
        """All of them from 0 to 1, found by bisection between points with different tokens. For few tokens: one that is
        less likely than 1e-8 may be missed."""
        points = np.linspace(0.0, _LAST, 65)
        tokens = self.draw(row, points)
        while True:
            gaps = np.flatnonzero((tokens[1:] != tokens[:-1]) & (np.diff(points) > _STEP))
            if not len(gaps):
                break
            middles = (points[gaps] + points[gaps + 1]) / 2
            points = np.insert(points, gaps + 1, middles)
            tokens = np.insert(tokens, gaps + 1, self.draw(row, middles))
        starts = np.flatnonzero(np.concatenate([[True], tokens[1:] != tokens[:-1]]))
        edges = np.concatenate([[0.0], (points[starts[1:] - 1] + points[starts[1:]]) / 2, [1.0]])
        return [Interval(int(tokens[start]), edges[i], edges[i + 1]) for i, start in enumerate(starts)]

    def intervals_around(self, row: Row, points: Floats) -> list[Interval]:
        """The one that each of the points lies in."""
        tokens = self.draw(row, points)
        outside = np.concatenate([np.zeros(len(points)), np.full(len(points), 1.0)])
        inside = np.concatenate([points, points])
        while (np.abs(outside - inside) > _STEP).any():
            middles = (outside + inside) / 2
            same = self.draw(row, np.minimum(middles, _LAST)) == np.tile(tokens, 2)
            inside, outside = np.where(same, middles, inside), np.where(same, outside, middles)
        low, high = np.split((outside + inside) / 2, 2)
        return [Interval(int(token), low[i], high[i]) for i, token in enumerate(tokens)]
