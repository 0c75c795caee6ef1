"""How fast one loaded encoder turns texts into vectors; part of ``bench``, which loads it."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import UsageError

if TYPE_CHECKING:
    from edgellm_runtimes.backend import Backend

__all__ = ["EncoderResult", "EncoderWork", "some_ids", "time_encoder"]

_LEAST_S = 0.5  # that the calls of one figure take together
_FEWEST = 5  # calls


class EncoderWork(msgspec.Struct, frozen=True, tag=True):
    """What is timed."""

    text_tokens: int = 256  # of each text
    streams: int = 8  # texts that are asked for together


class EncoderResult(msgspec.Struct, frozen=True):
    """One measurement; memory as in BenchResult."""

    load_s: float  # libraries and weights, from a fresh process
    text_tokens_per_s: float  # one text after the other
    streams_tokens_per_s: float  # texts together
    loaded_bytes: int | None
    anonymous_bytes: int | None
    mapped_bytes: int | None
    peak_bytes: int
    threads: int
    batch_threads: int


def time_encoder(backend: Backend, work: EncoderWork) -> tuple[float, float]:
    """Tokens per second of single texts, and of ``work.streams`` together. Raises UsageError for texts that are too
    long."""
    longest = backend.limits.n_context
    if work.text_tokens > longest:
        raise UsageError(
            f"texts of {work.text_tokens} tokens: the encoder takes {longest}",
            hint="measure with a smaller --prompt",
        )
    return _tokens_per_s(backend, work.text_tokens, 1), _tokens_per_s(backend, work.text_tokens, work.streams)


def some_ids(backend: Backend, count: int, seed: int) -> list[int]:
    """Tokens of no text in particular: which they are makes no difference to a dense model."""
    n_vocab = backend.limits.n_vocab
    return [(7919 * (number + 1) + seed) % n_vocab for number in range(count)]


def _tokens_per_s(backend: Backend, text_tokens: int, texts: int) -> float:
    """The median of some calls; more texts than fit into a call take several."""
    _encode(backend, text_tokens, texts)
    times: list[float] = []
    while len(times) < _FEWEST or sum(times) < _LEAST_S:
        started = time.perf_counter()
        _encode(backend, text_tokens, texts)
        times.append(time.perf_counter() - started)
    return texts * text_tokens / statistics.median(times)


def _encode(backend: Backend, text_tokens: int, texts: int) -> None:
    from edgellm_runtimes.backend import TokenSlice

    encode = backend.text_vectors if "pooling" in backend.capabilities else backend.hidden_states
    most = min(max(1, backend.limits.n_hidden // text_tokens), backend.limits.n_sequences)
    for first in range(0, texts, most):
        encode(
            [TokenSlice(place, some_ids(backend, text_tokens, 31 * place)) for place in range(min(most, texts - first))]
        )
