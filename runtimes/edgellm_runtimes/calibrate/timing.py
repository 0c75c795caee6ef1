"""Times the steps of one model: a token, and a prompt of 512."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.calibrate.synthetic import N_TOKENS

if TYPE_CHECKING:
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

__all__ = ["PROMPT_TOKENS", "SHALLOW_TOKENS", "Timing", "time_model"]

PROMPT_TOKENS = 512
SHALLOW_TOKENS = 16
_MOST_REPEATS = {"prefill": 16, "decode": 400}
_LEAST_REPEATS = {"prefill": 2, "decode": 8}


class Timing(msgspec.Struct, frozen=True):
    """Seconds of one step."""

    decode_s: float  # one token after SHALLOW_TOKENS
    prefill_s: float  # PROMPT_TOKENS into an empty cache
    deep_decode_s: float = 0.0  # one token after 2 x PROMPT_TOKENS; 0 where it was not asked for
    deep_prefill_s: float = 0.0  # PROMPT_TOKENS after PROMPT_TOKENS


def time_model(path: Path, threads: int, *, repack: bool, budget_s: float, deep: bool) -> Timing:
    """Load the model at ``path`` and time its steps, each kind for about ``budget_s`` seconds."""
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    settings = BackendSettings(
        context=4 * PROMPT_TOKENS,
        batch=PROMPT_TOKENS,
        ubatch=PROMPT_TOKENS,
        threads=threads,
        batch_threads=threads,
        repack=repack,
    )
    backend = LlamaBackend(path, settings)
    try:
        prefill = _prefill_s(backend, 0, budget_s)
        decode = _decode_s(backend, SHALLOW_TOKENS, budget_s)
        result = Timing(decode_s=_typical(decode), prefill_s=_typical(prefill))
        if deep:
            deep_prefill = _prefill_s(backend, PROMPT_TOKENS, budget_s)
            deep_decode = _decode_s(backend, 2 * PROMPT_TOKENS, budget_s)
            result = msgspec.structs.replace(
                result, deep_prefill_s=_typical(deep_prefill), deep_decode_s=_typical(deep_decode)
            )
        return result
    finally:
        backend.close()


def _prefill_s(backend: LlamaBackend, filled: int, budget_s: float) -> list[float]:
    """Times of one prompt of a full step after ``filled`` tokens."""
    _fill(backend, filled)

    def step() -> float:
        backend.truncate_sequence(0, filled)
        return _timed(backend, PROMPT_TOKENS)

    step()  # touches every page for the first time
    return _repeat(step, "prefill", budget_s)


def _decode_s(backend: LlamaBackend, filled: int, budget_s: float) -> list[float]:
    """Times of one token after ``filled`` tokens."""
    _fill(backend, filled)

    def step() -> float:
        backend.truncate_sequence(0, filled)
        return _timed(backend, 1)

    step()
    return _repeat(step, "decode", budget_s)


def _fill(backend: LlamaBackend, tokens: int) -> None:
    backend.drop_sequence(0)
    while (missing := tokens - backend.sequence_length(0)) > 0:
        _timed(backend, min(missing, PROMPT_TOKENS))


def _timed(backend: LlamaBackend, tokens: int) -> float:
    ids = [3 + i % (N_TOKENS - 3) for i in range(tokens)]
    started = time.perf_counter()
    backend.decode([TokenSlice(0, ids)])
    return time.perf_counter() - started


def _repeat(step: Callable[[], float], kind: str, budget_s: float) -> list[float]:
    times: list[float] = []
    ends = time.perf_counter() + budget_s
    while len(times) < _LEAST_REPEATS[kind] or (time.perf_counter() < ends and len(times) < _MOST_REPEATS[kind]):
        times.append(step())
    return times


def _typical(times: list[float]) -> float:
    """The median of the faster half: what else ran at the time counts little."""
    return statistics.median(sorted(times)[: (len(times) + 1) // 2])
