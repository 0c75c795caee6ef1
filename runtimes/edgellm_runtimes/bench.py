"""How fast one model loads and computes here, and what it takes: measured in a child process of its own.

`python -m edgellm_runtimes.bench` is the child.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, overload

import msgspec

from edgellm.errors import UsageError
from edgellm.progress import CancelToken
from edgellm_runtimes.bench_encoder import EncoderResult, EncoderWork, some_ids
from edgellm_runtimes.child_job import run_job, serve_job
from edgellm_runtimes.load import LoadRequest

if TYPE_CHECKING:
    from edgellm_runtimes.backend import Backend

__all__ = ["BenchResult", "BenchWork", "EncoderResult", "EncoderWork", "bench_model"]

_SMALLEST_DECODE = 8
_MODULE = "edgellm_runtimes.bench"


class BenchWork(msgspec.Struct, frozen=True, tag=True):
    """What is timed of a model that generates text."""

    prompt_tokens: int = 512
    decode_tokens: int = 48
    streams: int = 8


class BenchResult(msgspec.Struct, frozen=True):
    """One measurement.

    ``anonymous_bytes`` is memory of the process alone, ``loaded_bytes`` that before anything was computed, and
    ``mapped_bytes`` that of files, which the system can take back at any time; None where the system does not tell.
    """

    load_s: float  # libraries and weights, from a fresh process
    prefill_tokens_per_s: float
    decode_tokens_per_s: float  # one stream, after the prompt
    streams_tokens_per_s: float  # all streams together
    loaded_bytes: int | None
    anonymous_bytes: int | None
    mapped_bytes: int | None
    peak_bytes: int
    threads: int
    batch_threads: int


@overload
def bench_model(
    request: LoadRequest, work: BenchWork, *, timeout_s: float = ..., cancel: CancelToken
) -> BenchResult: ...
@overload
def bench_model(
    request: LoadRequest, work: EncoderWork, *, timeout_s: float = ..., cancel: CancelToken
) -> EncoderResult: ...
def bench_model(
    request: LoadRequest, work: BenchWork | EncoderWork, *, timeout_s: float = 1800.0, cancel: CancelToken
) -> BenchResult | EncoderResult:
    """Load what ``request`` names in a child process and time it.

    Raises what loading raises; MissingAbilityError for BenchWork of an encoder; BackendError when the child
    crashes or does not end within ``timeout_s``; Interrupted.
    """
    name = request.name or str(request.model_path)
    answer_type: type[BenchResult | EncoderResult] = BenchResult if isinstance(work, BenchWork) else EncoderResult
    return run_job(
        _MODULE,
        _Job(request, work),
        answer_type,
        what=f"measuring {name}",
        subject=name,
        timeout_s=timeout_s,
        cancel=cancel,
    )


class _Job(msgspec.Struct, frozen=True):
    request: LoadRequest
    work: BenchWork | EncoderWork


def measure(request: LoadRequest, work: BenchWork | EncoderWork) -> BenchResult | EncoderResult:
    """The measurement itself, in this process."""
    from edgellm_runtimes.bench_encoder import time_encoder
    from edgellm_runtimes.load import load_backend

    started = time.perf_counter()
    backend, info = load_backend(request)
    load_s = time.perf_counter() - started
    loaded, _files = _memory_bytes()
    try:
        if isinstance(work, EncoderWork):
            alone, together = time_encoder(backend, work)
            return EncoderResult(load_s, alone, together, loaded, *_after(), info.threads, info.batch_threads)
        speeds = _time_generation(backend, work, request.name or request.model_path.name)
        return BenchResult(load_s, *speeds, loaded, *_after(), info.threads, info.batch_threads)
    finally:
        backend.close()


def _time_generation(backend: Backend, work: BenchWork, name: str) -> tuple[float, float, float]:
    """Tokens per second of a prompt, of one answer, and of all streams together."""
    from edgellm_runtimes.encoder import no_generation

    if "generation" not in backend.capabilities:
        raise no_generation(name)
    if work.prompt_tokens + work.decode_tokens > backend.limits.n_context:
        raise UsageError(
            f"{work.prompt_tokens} tokens of prompt and {work.decode_tokens} more do not fit into the context of "
            f"{backend.limits.n_context}",
            hint="measure with a smaller --prompt, or a larger --context",
        )
    prefill = [_prefill_s(backend, work.prompt_tokens) for _ in range(3)][1:]
    decode_s = _decode_s(backend, 1, work)
    streams_s = _decode_s(backend, work.streams, work)
    return work.prompt_tokens / min(prefill), 1 / decode_s, work.streams / streams_s


def _after() -> tuple[int | None, int | None, int]:
    """Anonymous memory, mapped files, and the peak of all."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return *_memory_bytes(), peak


def _prefill_s(backend: Backend, count: int) -> float:
    from edgellm_runtimes.backend import TokenSlice

    backend.drop_sequence(0)
    ids, most = some_ids(backend, count, 1), backend.limits.n_batch
    started = time.perf_counter()
    for first in range(0, count, most):
        part = ids[first : first + most]
        backend.decode([TokenSlice(0, part, int(first + len(part) == count))])
    return time.perf_counter() - started


def _decode_s(backend: Backend, streams: int, work: BenchWork) -> float:
    """Seconds of one step in which ``streams`` sequences get a token each: the median."""
    from edgellm_runtimes.backend import TokenSlice

    for sequence in range(1, streams):
        backend.copy_sequence(0, sequence)
    times = []
    for step in range(max(_SMALLEST_DECODE, work.decode_tokens)):
        started = time.perf_counter()
        backend.decode(
            [TokenSlice(sequence, some_ids(backend, 1, 31 * step + sequence)) for sequence in range(streams)]
        )
        times.append(time.perf_counter() - started)
    for sequence in range(streams):
        backend.truncate_sequence(sequence, work.prompt_tokens)
    return statistics.median(times[2:])


def _memory_bytes() -> tuple[int | None, int | None]:
    """Anonymous memory that is resident, and resident pages of files."""
    try:
        text = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return None, None
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:] if ":" in line)
    resident, anonymous = (int(fields[name].split()[0]) * 1024 for name in ("Rss", "Anonymous"))
    return anonymous, resident - anonymous


if __name__ == "__main__":
    sys.exit(serve_job(_MODULE, __doc__, _Job, lambda job: measure(job.request, job.work)))
