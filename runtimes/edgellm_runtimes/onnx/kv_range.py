"""How large the numbers in a model's KV cache become, channel by channel: what the scales of an int8 cache are made of.

At pack time a child process runs a sample of text through the float32 graph that was just written:
`python -m edgellm_runtimes.onnx.kv_range`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import BackendError
from edgellm.progress import CancelToken
from edgellm_runtimes.child_job import run_job, serve_job

if TYPE_CHECKING:
    from edgellm_runtimes.onnx.kv_cache import KvCache

__all__ = ["measure_kv_ranges", "ranges_of"]

_BATCH = 256
_MODULE = "edgellm_runtimes.onnx.kv_range"


class _Job(msgspec.Struct, frozen=True):
    model: Path
    files: dict[str, Path]
    tokens: tuple[int, ...]


class _Ranges(msgspec.Struct, frozen=True):
    arrays: tuple[tuple[float, ...], ...]


def measure_kv_ranges(
    path: Path, files: Mapping[str, Path], tokens: Sequence[int], cancel: CancelToken
) -> tuple[tuple[float, ...], ...]:
    """``ranges_of`` the cache of the model at ``path`` after ``tokens``, in a child process.

    ``files``: all of the model's, by their names. Raises what loading raises, BackendError, Interrupted.
    """
    job = _Job(path.absolute(), {name: one.absolute() for name, one in files.items()}, tuple(tokens))
    what = f"measuring the KV cache of {path}"
    return run_job(_MODULE, job, _Ranges, what=what, subject=str(path), cancel=cancel).arrays


def ranges_of(cache: KvCache, sequence: int) -> tuple[tuple[float, ...], ...]:
    """For each array of the cache the largest magnitudes of [head, channel], one behind the other.

    Keys are turned by their position, each channel with the one half a head further on: how far both together can come
    counts for both, so that it holds at every position.
    """
    import numpy as np

    length, found = cache.lengths[sequence], []
    for number, array in enumerate(cache.arrays):
        values = array[sequence, :, :length].astype(np.float32)
        if number % 2 == 0:
            half = values.shape[-1] // 2
            together = np.hypot(values[..., :half], values[..., half:])
            values = np.concatenate([together, together], axis=-1)
        largest = np.abs(values).max(axis=1)
        if not np.isfinite(largest).all():
            raise BackendError(
                "the KV cache holds numbers that are not finite",
                hint="the weights hold NaN or inf: check the checkpoint",
            )
        found.append(tuple(float(value) for value in largest.reshape(-1)))
    return tuple(found)


def measure(job: _Job) -> _Ranges:
    """The measurement itself, in this process."""
    from edgellm.devices.local import decode_threads
    from edgellm_runtimes.backend import BackendSettings, TokenSlice
    from edgellm_runtimes.onnx.model import OnnxBackend

    threads = decode_threads()
    settings = BackendSettings(
        context=len(job.tokens),
        batch=_BATCH,
        ubatch=_BATCH,
        threads=threads,
        batch_threads=threads,
        kv_type_k="f32",
        kv_type_v="f32",
        shared_cells=False,
    )
    backend = OnnxBackend(job.model, settings, files=job.files or None)
    try:
        for first in range(0, len(job.tokens), _BATCH):
            backend.decode([TokenSlice(0, job.tokens[first : first + _BATCH], 0)])
        return _Ranges(ranges_of(backend.cache, 0))
    finally:
        backend.close()


if __name__ == "__main__":
    sys.exit(serve_job(_MODULE, __doc__, _Job, measure))
