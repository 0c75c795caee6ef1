"""The chains in numpy and in torch, in the fastest forms that we know of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["numpy_forms", "torch_forms"]

_T, _TOP_K, _TOP_P, _MIN_P, _TYPICAL, _LOGPROBS = 0.8, 40, 0.95, 0.05, 0.95, 20
_BLOCK = 64
_HEAD = 256  # tokens that most of the probability may lie in

Form = Callable[[Any], Any]


def numpy_forms(n_vocab: int, history: NDArray[np.int32]) -> dict[str, dict[str, Form]]:
    """chain -> name -> function of a row. Buffers are made once."""
    rng = np.random.default_rng(0)
    buffer, second = np.empty(n_vocab, np.float32), np.empty(n_vocab, np.float32)
    cut, head, whole = n_vocab - _LOGPROBS, n_vocab - _HEAD, n_vocab // _BLOCK * _BLOCK
    seen, counts = np.unique(history, return_counts=True)

    def draw(ids: Any, weights: Any) -> int:
        total = weights.cumsum()
        return int(ids[total.searchsorted(rng.random() * total[-1], "right")])

    def draw_among_all(weights: Any) -> int:
        """A running sum is slow: one over blocks first, then one in the block."""
        total = weights[:whole].reshape(-1, _BLOCK).sum(1).cumsum()
        if whole < n_vocab:
            total = np.append(total, total[-1] + weights[whole:].sum())
        target = rng.random() * total[-1]
        block = int(total.searchsorted(target, "right"))
        before = total[block - 1] if block else 0.0
        inner = weights[block * _BLOCK : (block + 1) * _BLOCK].cumsum()
        return block * _BLOCK + min(int(inner.searchsorted(target - before, "right")), len(inner) - 1)

    def exps(row: Any, temperature: float) -> Any:
        np.subtract(row, row.max(), out=buffer)
        np.multiply(buffer, np.float32(1 / temperature), out=buffer)
        return np.exp(buffer, out=buffer)

    def largest(row: Any, k: int) -> Any:
        """The ids of the k largest: those not below the k-th largest maximum of sixty-four each, then sorted."""
        blocks = row[:whole].reshape(_BLOCK, -1).max(0)
        least = np.partition(blocks, len(blocks) - k)[len(blocks) - k]
        ids = np.flatnonzero(row >= least)
        return ids[np.argsort(-row[ids], kind="stable")[:k]]

    def default_of(row: Any) -> int:
        ids = largest(row, _TOP_K)
        e = np.exp(row[ids] - row[ids[0]])
        kept = int(e.cumsum().searchsorted(_TOP_P * e.sum())) + 1
        ids = ids[:kept][e[:kept] >= _MIN_P]
        return draw(ids, np.exp((row[ids] - row[ids[0]]) / _T))

    def default_partitioned(row: Any) -> int:
        ids = row.argpartition(n_vocab - _TOP_K)[n_vocab - _TOP_K :]
        return int(ids[default_of_few(row[ids])])

    def default_of_few(values: Any) -> int:
        order = np.argsort(-values)
        e = np.exp(values[order] - values[order[0]])
        kept = int(e.cumsum().searchsorted(_TOP_P * e.sum())) + 1
        order = order[:kept][e[:kept] >= _MIN_P]
        return draw(order, np.exp((values[order] - values[order[0]]) / _T))

    def penalised(row: Any) -> int:
        np.copyto(second, row)
        values = second[seen]
        values = np.where(values > 0, values / 1.1, values * 1.1) - counts * 0.1 - 0.1
        second[seen] = values
        return default_of(second)

    def temperature(row: Any) -> int:
        return draw_among_all(exps(row, _T))

    def min_p(row: Any) -> int:
        best = row.max()
        ids = np.flatnonzero(row >= best + math.log(_MIN_P))
        return draw(ids, np.exp((row[ids] - best) / _T))

    def top_p(row: Any) -> int:
        e = exps(row, 1.0)
        target = _TOP_P * e.sum()
        np.copyto(second, e)
        second.partition(head)
        likeliest = np.sort(second[head:])[::-1]
        total = likeliest.cumsum()
        if total[-1] < target:
            second.sort()
            likeliest = second[::-1]
            total = likeliest.cumsum()
        least = likeliest[int(total.searchsorted(target))]
        ids = np.flatnonzero(e >= least)
        return draw(ids, np.exp((row[ids] - row.max()) / _T))

    def typical(row: Any) -> int:
        e = exps(row, 1.0)
        total = float(e.sum())
        shifted = np.subtract(row, row.max(), out=second)
        np.subtract(shifted, np.float32(e @ shifted / total), out=shifted)
        order = np.abs(shifted, out=shifted).argsort()
        kept = int(e[order].cumsum().searchsorted(_TYPICAL * total)) + 1
        ids = order[:kept]
        return draw(ids, np.exp((row[ids] - row.max()) / _T))

    def log_total(row: Any) -> Any:
        best = row.max()
        np.subtract(row, best, out=buffer)
        return best + math.log(np.exp(buffer, out=buffer).sum())

    def logprobs_by_argpartition(row: Any) -> tuple[Any, Any]:
        total = log_total(row)
        ids = row.argpartition(cut)[cut:]
        ids = ids[np.argsort(-row[ids])]
        return row[ids[0]] - total, row[ids] - total

    def logprobs_by_partition(row: Any) -> tuple[Any, Any]:
        total = log_total(row)
        ids = np.flatnonzero(row >= np.partition(row, cut)[cut])
        ids = ids[np.argsort(-row[ids])]
        return row[ids[0]] - total, row[ids] - total

    def logprobs_by_blocks(row: Any) -> tuple[Any, Any]:
        total = log_total(row)
        ids = largest(row, _LOGPROBS)
        return row[ids[0]] - total, row[ids] - total

    return {
        "greedy": {"numpy": lambda row: row.argmax()},
        "default": {"numpy, blocks": default_of, "numpy, argpartition": default_partitioned},
        "default with penalties": {"numpy": penalised},
        "temperature": {"numpy": temperature},
        "min-p": {"numpy": min_p},
        "top-p": {"numpy": top_p},
        "top-p, temperature": {"numpy": top_p},
        "typical": {"numpy": typical},
        "greedy, 20 log-probabilities": {
            "numpy, blocks": logprobs_by_blocks,
            "numpy, partition": logprobs_by_partition,
            "numpy, argpartition": logprobs_by_argpartition,
        },
    }


def torch_forms(n_vocab: int, history: NDArray[np.int32]) -> dict[str, Form]:
    """chain -> function of a row, on one thread; empty without torch."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    seen, counts = (torch.from_numpy(part) for part in np.unique(history.astype(np.int64), return_counts=True))

    def draw(values: Any) -> Any:
        """multinomial takes ten times as long."""
        total = torch.softmax(values / _T, -1).cumsum(-1)
        return torch.searchsorted(total, torch.rand(1) * total[-1]).clamp(max=len(total) - 1)

    def default(row: Any) -> int:
        values, ids = torch.topk(row, _TOP_K)
        p = torch.softmax(values, -1)
        keep = (p.cumsum(-1) - p < _TOP_P) & (p >= _MIN_P * p[0])
        return int(ids[keep][draw(values[keep])])

    def penalised(row: Any) -> int:
        row = row.clone()
        values = row[seen]
        row[seen] = torch.where(values > 0, values / 1.1, values * 1.1) - counts * 0.1 - 0.1
        return default(row)

    def min_p(row: Any) -> int:
        ids = torch.nonzero(row >= row.max() + math.log(_MIN_P)).squeeze(1)
        return int(ids[draw(row[ids])])

    def top_p(row: Any) -> int:
        log_total = torch.logsumexp(row, -1)
        values, ids = torch.topk(row, _HEAD)
        total = (values - log_total).exp().cumsum(-1)
        if total[-1] < _TOP_P:
            values, ids = torch.sort(row, descending=True)
            total = (values - log_total).exp().cumsum(-1)
        kept = int(torch.searchsorted(total, _TOP_P)) + 1
        return int(ids[draw(values[:kept])])

    def typical(row: Any) -> int:
        logs = torch.log_softmax(row, -1)
        p = logs.exp()
        entropy = -(logs * p).nansum()
        order = torch.argsort((-logs - entropy).abs())
        kept = int(torch.searchsorted(p[order].cumsum(-1), _TYPICAL)) + 1
        return int(order[draw(row[order[:kept]])])

    def logprobs(row: Any) -> Any:
        values, _ = torch.topk(row, _LOGPROBS)
        return values - torch.logsumexp(row, -1)

    forms: dict[str, Form] = {
        "greedy": lambda row: int(row.argmax()),
        "default": default,
        "default with penalties": penalised,
        "temperature": lambda row: int(draw(row)),
        "min-p": min_p,
        "top-p": top_p,
        "top-p, temperature": top_p,
        "typical": typical,
        "greedy, 20 log-probabilities": logprobs,
    }
    return {name: torch.inference_mode()(form) for name, form in forms.items()}
