"""Reading, converting and quantizing in threads, written in order: memory stays bounded whatever the model's size."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.formats.ggml_types import is_quantized, row_bytes
from edgellm.progress import CancelToken, Progress
from edgellm_converters.checkpoint.floats import all_finite, to_float32
from edgellm_converters.gguf import ggml
from edgellm_converters.k_quants import quantize_into

__all__ = ["CHUNK_ELEMENTS", "Work", "run"]

CHUNK_ELEMENTS = 1 << 19  # 2 MiB of float32: large enough that Python costs nothing, small enough for the cache
_HEAD_LIMIT_BYTES = 64 << 20
_THREADS_LIMIT = 16
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}

Read = Callable[[int, memoryview], None]
"""Fills a buffer with the tensor's source bytes from an offset on; may be called from many threads."""


@dataclass(frozen=True)
class Work:
    """One tensor on its way: ``targets`` are the types it is wanted in, all distinct.

    ``heads`` asks for the rotary permutation, see TensorPlan; every value is multiplied by ``scale``, in float32.
    """

    name: str
    dtype: str  # of the source: F32, F16, BF16; any other type can only be copied
    row_length: int
    n_rows: int
    targets: tuple[str, ...]
    read: Read
    heads: int = 0
    scale: float = 1.0

    @property
    def source_bytes(self) -> int:
        """Bytes read for it."""
        return row_bytes(self.dtype, self.row_length) * self.n_rows


@dataclass(frozen=True)
class _Chunk:
    """Elements [first, first + count) of a tensor."""

    work: Work
    first: int
    count: int
    is_last: bool


@dataclass
class _Scratch(threading.local):
    """Buffers of one thread, grown once and reused."""

    raw: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


Write = Callable[[Work, dict[str, NDArray[np.uint8]], bool], None]
"""Takes a chunk's bytes by target type, in order; the flag marks the last chunk of a tensor."""


def run(works: Sequence[Work], write: Write, *, threads: int, progress: Progress, cancel: CancelToken) -> None:
    """Push every tensor through ``threads`` threads and hand the results, in order, to ``write`` in this one.

    Raises CheckpointError for weights that are not finite or do not fit their type, Interrupted when cancelled, and
    whatever ``write`` raises. No thread is left behind.
    """
    threads = max(1, min(threads, _THREADS_LIMIT))
    scratch = _Scratch()
    waiting: deque[tuple[_Chunk, Future[dict[str, NDArray[np.uint8]]]]] = deque()

    def finish_one() -> None:
        chunk, future = waiting.popleft()
        write(chunk.work, future.result(), chunk.is_last)
        progress.advance(_source_bytes(chunk.work, chunk.count))

    with ThreadPoolExecutor(threads, thread_name_prefix="quantize") as pool:
        try:
            for chunk in _chunks(works):
                cancel.check()
                if len(waiting) > 2 * threads:
                    finish_one()
                waiting.append((chunk, pool.submit(_convert, chunk, scratch)))
            while waiting:
                cancel.check()
                finish_one()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _source_bytes(work: Work, count: int) -> int:
    return row_bytes(work.dtype, work.row_length) * count // work.row_length


def _chunks(works: Sequence[Work]) -> Iterator[_Chunk]:
    for work in works:
        total = work.row_length * work.n_rows
        step = CHUNK_ELEMENTS
        if work.heads:
            head = total // work.heads
            if head * _ITEM_BYTES[work.dtype] > _HEAD_LIMIT_BYTES:
                raise UnsupportedError(f"one attention head of {work.name} has {head} weights: too many to permute")
            step = max(1, CHUNK_ELEMENTS // head) * head
        elif work.dtype not in _ITEM_BYTES:  # copied as it is: chunks of whole rows
            step = max(1, CHUNK_ELEMENTS // work.row_length) * work.row_length
        for first in range(0, total, step):
            yield _Chunk(work, first, min(step, total - first), first + step >= total)


def _convert(chunk: _Chunk, scratch: _Scratch) -> dict[str, NDArray[np.uint8]]:
    """Read a chunk and bring it into every type it is wanted in."""
    work = chunk.work
    start, size = _source_bytes(work, chunk.first), _source_bytes(work, chunk.count)
    if work.dtype not in _ITEM_BYTES:
        copied = np.empty(size, np.uint8)
        work.read(start, copied.data)
        return {work.dtype: copied}
    if scratch.raw.size < size:
        scratch.raw = np.empty(size, np.uint8)
    if scratch.values.size < chunk.count:
        scratch.values = np.empty(chunk.count, np.float32)
    raw, values = scratch.raw[:size], scratch.values[: chunk.count]
    work.read(start, raw.data)
    if work.heads:
        raw = _permuted(raw, work)
    to_float32(raw, work.dtype, values)
    if work.scale != 1.0:
        with np.errstate(over="ignore", invalid="ignore"):  # refused in the next line
            np.multiply(values, np.float32(work.scale), out=values)
    if not all_finite(values):
        raise CheckpointError(
            f"the tensor {work.name} holds weights that are NaN or infinite",
            hint="the checkpoint is damaged or its training diverged; download it again",
        )
    return {target: _to_type(target, work, raw, values) for target in work.targets}


def _permuted(raw: NDArray[np.uint8], work: Work) -> NDArray[np.uint8]:
    """Whole heads with their two halves of rows interleaved (see TensorPlan)."""
    head_rows = work.n_rows // work.heads
    row = work.row_length * _ITEM_BYTES[work.dtype]
    halves = raw.reshape(-1, 2, head_rows // 2, row)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(-1)


def _to_type(target: str, work: Work, raw: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    if target == work.dtype and work.scale == 1.0:
        return raw.copy()
    if target == "F32":
        return values.view(np.uint8).copy()
    out = np.empty(row_bytes(target, values.size), np.uint8)
    quantize_into(target, values, out, ggml.quantize)
    if target == "F16":
        fits = bool(np.isfinite(out.view(np.float16)).all())
    else:
        fits = not is_quantized(target) or ggml.is_valid(target, out)
    if not fits:
        raise CheckpointError(
            f"the weights of {work.name} are too large for the type {target}", hint="take the recipe BF16 or F32"
        )
    return out
