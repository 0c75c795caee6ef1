"""Reading, converting and quantizing in threads, written in order: memory stays bounded whatever the model's size."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.formats.ggml_types import row_bytes
from edgellm.progress import CancelToken, Progress
from edgellm_converters.checkpoint.floats import all_finite, to_float32

__all__ = ["CHUNK_ELEMENTS", "FLOAT_BYTES", "Convert", "Work", "Write", "run"]

CHUNK_ELEMENTS = 1 << 19  # 2 MiB of float32: large enough that Python costs nothing, small enough for the cache
_HEAD_LIMIT_BYTES = 64 << 20
_THREADS_LIMIT = 16
FLOAT_BYTES = {"F32": 4, "F16": 2, "BF16": 2}

T = TypeVar("T")  # names a way to store numbers; hashable

Read = Callable[[int, memoryview], None]
"""Fills a buffer with the tensor's source bytes from an offset on; may be called from many threads."""


@dataclass(frozen=True)
class Work(Generic[T]):
    """One tensor on its way: ``targets`` are the ways in which it is wanted, all distinct.

    ``heads`` asks for the rotary permutation, see TensorPlan; every value is multiplied by ``scale``, in float32.
    ``whole_rows``: it is converted in pieces of whole rows.
    """

    name: str
    dtype: str  # of the source: F32, F16, BF16; any other type can only be copied
    row_length: int
    n_rows: int
    targets: tuple[T, ...]
    read: Read
    heads: int = 0
    scale: float = 1.0
    whole_rows: bool = False

    @property
    def source_bytes(self) -> int:
        """Bytes read for it."""
        return row_bytes(self.dtype, self.row_length) * self.n_rows


@dataclass(frozen=True)
class _Chunk(Generic[T]):
    """Elements [first, first + count) of a tensor."""

    work: Work[T]
    first: int
    count: int
    is_last: bool


@dataclass
class _Scratch(threading.local):
    """Buffers of one thread, grown once and reused."""

    raw: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


Convert = Callable[[T, Work[T], NDArray[np.uint8], NDArray[np.float32]], NDArray[np.uint8]]
"""A piece's source bytes and its finite numbers -> its bytes for one target, in an array of their own.

Called in many threads at once; both arguments are used again afterwards.
"""
Write = Callable[[Work[T], dict[T, NDArray[np.uint8]], bool], None]
"""Takes a chunk's bytes by target, in order; the flag marks the last chunk of a tensor."""


def run(
    works: Sequence[Work[T]],
    convert: Convert[T],
    write: Write[T],
    *,
    threads: int,
    progress: Progress,
    cancel: CancelToken,
) -> None:
    """Push every tensor through ``threads`` threads and hand the results, in order, to ``write`` in this one.

    A tensor of a type that is no float is handed on as it is, under each of its targets.

    Raises CheckpointError for weights that are not finite or do not fit their type, Interrupted when cancelled, and
    whatever ``write`` raises. No thread is left behind.
    """
    threads = max(1, min(threads, _THREADS_LIMIT))
    scratch = _Scratch()
    waiting: deque[tuple[_Chunk[T], Future[dict[T, NDArray[np.uint8]]]]] = deque()

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
                waiting.append((chunk, pool.submit(_convert, chunk, convert, scratch)))
            while waiting:
                cancel.check()
                finish_one()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _source_bytes(work: Work[T], count: int) -> int:
    return row_bytes(work.dtype, work.row_length) * count // work.row_length


def _chunks(works: Sequence[Work[T]]) -> Iterator[_Chunk[T]]:
    for work in works:
        total = work.row_length * work.n_rows
        step = CHUNK_ELEMENTS
        if work.heads:
            head = total // work.heads
            if head * FLOAT_BYTES[work.dtype] > _HEAD_LIMIT_BYTES:
                raise UnsupportedError(f"one attention head of {work.name} has {head} weights: too many to permute")
            step = max(1, CHUNK_ELEMENTS // head) * head
        elif work.whole_rows or work.dtype not in FLOAT_BYTES:
            step = max(1, CHUNK_ELEMENTS // work.row_length) * work.row_length
        for first in range(0, total, step):
            yield _Chunk(work, first, min(step, total - first), first + step >= total)


def _convert(chunk: _Chunk[T], convert: Convert[T], scratch: _Scratch) -> dict[T, NDArray[np.uint8]]:
    """Read a chunk and bring it into every form it is wanted in."""
    work = chunk.work
    start, size = _source_bytes(work, chunk.first), _source_bytes(work, chunk.count)
    if work.dtype not in FLOAT_BYTES:
        copied = np.empty(size, np.uint8)
        work.read(start, copied.data)
        return dict.fromkeys(work.targets, copied)
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
    return {target: convert(target, work, raw, values) for target in work.targets}


def _permuted(raw: NDArray[np.uint8], work: Work[T]) -> NDArray[np.uint8]:
    """Whole heads with their two halves of rows interleaved (see TensorPlan)."""
    head_rows = work.n_rows // work.heads
    row = work.row_length * FLOAT_BYTES[work.dtype]
    halves = raw.reshape(-1, 2, head_rows // 2, row)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(-1)
