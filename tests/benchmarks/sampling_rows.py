"""Rows of logits to choose tokens from, and the clock: contenders take turns, on rows in the cache or out of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "Contender", "Eight", "Row", "Rows", "make_logits", "take_turns"]

KINDS = ("peaked", "flat")
POOL_BYTES = 96 << 20  # of rows that are used in turn: three times a last-level cache of 32 MiB
WARM_UP = 5
WARM_S = 2e-4  # in which a hot row is read until the caches hold it: one pass, or fifty


class Row(NamedTuple):
    """One row in the form that each contender takes; made before the clock runs."""

    matrix: NDArray[np.float32]  # [1, n_vocab]
    vector: NDArray[np.float32]
    tensor: Any  # torch's
    address: int


class Eight(NamedTuple):
    """Eight rows, ``stride`` floats apart: 0 where it is the same one eight times."""

    matrix: NDArray[np.float32]  # [8, n_vocab]
    singles: list[NDArray[np.float32]]  # [1, n_vocab] each
    address: int
    stride: int


@dataclass
class Contender:
    """One way to choose a token; ``seconds`` are of each call."""

    name: str
    choose: Callable[[Any], Any]
    seconds: list[float] = field(default_factory=list)
    without_fill: list[float] = field(default_factory=list)  # llama.cpp's chain alone
    after: Callable[[], float] | None = None  # the seconds of the last call that were not the fill

    @property
    def median_us(self) -> float:
        return float(np.median(self.seconds)) * 1e6

    @property
    def median_without_fill_us(self) -> float:
        return float(np.median(self.without_fill)) * 1e6


def make_logits(kind: str, rows: int, n_vocab: int) -> NDArray[np.float32]:
    """Gaussian logits, float32 [rows, n_vocab]; peaked ones have fifty tokens that stand out, as a sure model gives."""
    rng = np.random.default_rng(n_vocab)
    logits = _aligned(rows, n_vocab)
    rng.standard_normal(out=logits, dtype=np.float32)
    logits *= np.float32(3.0 if kind == "peaked" else 1.5)
    if kind == "peaked":
        for row in logits:
            row[rng.choice(n_vocab, 50, replace=False)] += rng.uniform(0.0, 18.0, 50).astype(np.float32)
    return logits


def _aligned(rows: int, n_vocab: int) -> NDArray[np.float32]:
    """Memory that begins at a cache line, as the logits of llama.cpp and onnxruntime do."""
    raw = np.empty(4 * rows * n_vocab + 64, np.uint8)
    return raw[-raw.ctypes.data % 64 :][: 4 * rows * n_vocab].view(np.float32).reshape(rows, n_vocab)


def _eight(rows: NDArray[np.float32]) -> Eight:
    return Eight(rows, [rows[i : i + 1] for i in range(8)], rows.ctypes.data, rows.strides[0] // 4)


class Rows:
    """Rows of one kind; more bytes than the caches hold."""

    def __init__(self, kind: str, n_vocab: int) -> None:
        count = -(-POOL_BYTES // (4 * n_vocab * 8)) * 8
        self.logits = make_logits(kind, count, n_vocab)
        tensor = _tensor_function()
        self.single = [Row(row[None], row, tensor(row), row.ctypes.data) for row in self.logits]
        self.eights = [_eight(self.logits[i : i + 8]) for i in range(0, count, 8)]
        self.same = [_eight(np.broadcast_to(row, (8, n_vocab))) for row in self.logits]


def _tensor_function() -> Callable[[NDArray[np.float32]], Any]:
    try:
        import torch
    except ImportError:
        return lambda row: None
    return torch.from_numpy


def _bring_into_cache(contender: Contender, item: Any) -> None:
    """After one pass over what the contender before has evicted, a cache holds a part of it only; and how large a part
    depends on who that was."""
    end = time.perf_counter() + WARM_S
    contender.choose(item)
    while time.perf_counter() < end:
        contender.choose(item)


def take_turns(contenders: Sequence[Contender], items: Sequence[Any], repetitions: int, cold: bool) -> None:
    """Call each contender ``repetitions`` times, one after another.

    Hot: each timed call follows others on the same item that are not timed, for ``WARM_S``; turns take one item after
    another. Cold: every call takes the next item, so that whoever used one before, all the others have been read since.
    """
    place = 0
    for turn in range(-WARM_UP, repetitions):
        for contender in contenders:
            place = place + 1 if cold else turn
            item = items[place % len(items)]
            if not cold:
                _bring_into_cache(contender, item)
            started = time.perf_counter()
            contender.choose(item)
            taken = time.perf_counter() - started
            if turn >= 0:
                contender.seconds.append(taken)
                if contender.after is not None:
                    contender.without_fill.append(contender.after())
