"""Quantizes rows to the K types with our own kernels, byte for byte as ggml does, and with ggml where those end.

ggml is the definition of these formats, its rounding included: before a kernel is used for the first time in a process
it must reproduce ggml's bytes on a few thousand values, and is not used when it does not (another compiler may have
contracted multiplications and additions in ggml, as on machines where a fused operation is always there).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgellm_converters import _quantize

__all__ = ["BLOCK_BYTES", "SUPER_BLOCK", "Reference", "kernel_for", "quantize_into"]

SUPER_BLOCK = 256
BLOCK_BYTES = {"Q4_K": 144, "Q5_K": 176, "Q6_K": 210}

Reference: TypeAlias = Callable[[str, NDArray[np.float32], NDArray[np.uint8]], None]
"""ggml's own function: (type name, values, out) for values whose count is a multiple of 256."""

_log = logging.getLogger(__name__)


def quantize_into(type_name: str, values: NDArray[np.float32], out: NDArray[np.uint8], reference: Reference) -> None:
    """Write `values` (1-D, C-contiguous, a multiple of 256) as `type_name` into `out`, which has exactly their bytes.

    `reference` does what the kernels cannot: every other type, and super-blocks with values of extreme ratio. It may be
    called from many threads at once; the interpreter lock is free while a kernel works.
    """
    kernel = kernel_for(type_name, reference) if type_name in BLOCK_BYTES else None
    if kernel is None:
        reference(type_name, values, out)
        return
    left_over = np.empty(values.size // SUPER_BLOCK, np.uint8)
    if _quantize.quantize(kernel, type_name, values, out, left_over):
        block_bytes = BLOCK_BYTES[type_name]
        for first, end in _runs(left_over):
            part = values[first * SUPER_BLOCK : end * SUPER_BLOCK]
            reference(type_name, part, out[first * block_bytes : end * block_bytes])


@functools.cache
def kernel_for(type_name: str, reference: Reference) -> str | None:
    """The fastest kernel of this CPU that writes the same bytes as `reference`; None when there is none."""
    sample = _sample()
    expected = np.empty(sample.size // SUPER_BLOCK * BLOCK_BYTES[type_name], np.uint8)
    reference(type_name, sample, expected)
    for kernel in _quantize.kernel_names():
        written, left_over = np.zeros_like(expected), np.zeros(sample.size // SUPER_BLOCK, np.uint8)
        _quantize.quantize(kernel, type_name, sample, written, left_over)
        if not left_over.any() and np.array_equal(written, expected):
            return kernel
        _log.warning("the %s kernel for %s does not write ggml's bytes on this machine: not used", kernel, type_name)
    return None


def _sample() -> NDArray[np.float32]:
    """Values of the kinds that weights are made of: gaussian, heavy-tailed, one-sided, sparse, constant, coarse."""
    rng = np.random.default_rng(20)
    gaussian = rng.standard_normal((7, 4 * SUPER_BLOCK), np.float32)
    gaussian[1] **= 5
    gaussian[2] = np.abs(gaussian[2]) + np.float32(0.5)
    gaussian[3] *= gaussian[3] > 1
    gaussian[4, :] = np.float32(-0.375)
    gaussian[5] = np.round(gaussian[5])
    gaussian[6, :] = 0
    scales = np.array([0.02, 0.01, 1.0, 0.05, 1.0, 0.125, 1.0], np.float32)
    return np.ascontiguousarray((gaussian * scales[:, None]).reshape(-1))


def _runs(marks: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """(first, end) of every run of ones."""
    edges = np.flatnonzero(np.diff(marks, prepend=np.uint8(0), append=np.uint8(0)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
