"""Numbers -> levels, scales and zero points of a matrix in blocks, or of one with a scale for each row.

Four bits leave 16 levels, so the scale of a block is searched: several are tried, each is refined by least squares for
the levels that it gives, and the one with the smallest squared error is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgellm_converters.onnx.encoding import Encoding, Form

__all__ = ["dequantize_blocks", "quantize"]

_STEPS = tuple(0.1 * step for step in range(-9, 10))  # of levels, around the plain scale
_BYTE_LIMIT = 127


def quantize(values: NDArray[np.float32], encoding: Encoding) -> tuple[NDArray[np.generic], ...]:
    """``values`` [rows, row length] as the tensors of ``parts_of``, but for int8 columns, which stay rows here."""
    if encoding.form is Form.FLOAT:
        return (values,)
    if encoding.form is Form.COLUMNS:
        levels, scales = _bytes(values)
        return levels, scales
    blocks = _in_blocks(values, encoding)
    if encoding.bits == 8:
        levels, scales = _bytes(blocks)
        return (levels.astype(np.int16) + 128).astype(np.uint8), scales
    if encoding.symmetric:
        signed, scales = _symmetric(blocks)
        return _nibbles(signed + np.float32(8)), scales
    levels4, scales, zeros = _asymmetric(blocks)
    return _nibbles(levels4), scales, _nibbles(_even(zeros))


def dequantize_blocks(
    levels: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.uint8] | None,
    encoding: Encoding,
    row_length: int,
) -> NDArray[np.float32]:
    """The matrix [rows, row length] that the tensors of a matrix in blocks stand for."""
    rows, blocks = scales.shape
    unpacked = _from_nibbles(levels) if encoding.bits == 4 else levels
    if zero_points is None:
        zeros = np.full((rows, blocks), 1 << (encoding.bits - 1), np.float32)
    else:
        zeros = (_from_nibbles(zero_points) if encoding.bits == 4 else zero_points)[:, :blocks].astype(np.float32)
    numbers = (unpacked.astype(np.float32) - zeros[..., None]) * scales[..., None]
    return np.ascontiguousarray(numbers.reshape(rows, -1)[:, :row_length])


def _in_blocks(values: NDArray[np.float32], encoding: Encoding) -> NDArray[np.float32]:
    rows, row_length = values.shape
    blocks = encoding.n_blocks(row_length)
    padded = np.zeros((rows, blocks * encoding.block_size), np.float32)
    padded[:, :row_length] = values
    return padded.reshape(rows, blocks, encoding.block_size)


def _bytes(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric levels of 8 bits, one scale for the last axis."""
    scales = np.abs(values).max(axis=-1) / np.float32(_BYTE_LIMIT)
    levels = np.rint(values * _inverse(scales)[..., None])
    return np.clip(levels, -_BYTE_LIMIT, _BYTE_LIMIT).astype(np.int8), scales


def _symmetric(blocks: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Levels -8 to 7, as floats; the number of largest magnitude gets -8, which has no positive counterpart."""
    where = np.abs(blocks).argmax(axis=-1)[..., None]
    extreme = np.take_along_axis(blocks, where, axis=-1)[..., 0]
    inverse = _inverse(extreme)
    best = _Best(blocks)
    for step in _STEPS:
        factor = np.float32(-(8 + step)) * inverse
        best.offer(np.clip(np.rint(blocks * factor[..., None]), -8, 7))
    return best.levels, best.scales


def _asymmetric(
    blocks: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Levels and zero points 0 to 15, as floats."""
    low, high = np.minimum(blocks.min(axis=-1), 0), np.maximum(blocks.max(axis=-1), 0)
    inverse = _inverse(high - low)
    best = _Best(blocks)
    zeros = np.zeros_like(low)
    for step in _STEPS:
        factor = np.float32(15 + step) * inverse
        zero = np.clip(np.rint(-low * factor), 0, 15)
        levels = np.clip(np.rint(blocks * factor[..., None]) + zero[..., None], 0, 15)
        better = best.offer(levels - zero[..., None])
        zeros[better] = zero[better]
    return best.levels + zeros[..., None], best.scales, zeros


class _Best:
    """The levels that leave the smallest squared error so far, and the scale of least squares for them.

    The error of levels l with the scale sum(x l) / sum(l l) is sum(x x) - sum(x l)^2 / sum(l l).
    """

    def __init__(self, blocks: NDArray[np.float32]) -> None:
        self._blocks = blocks
        self._gain = np.full(blocks.shape[:-1], -1, np.float32)
        self.levels = np.zeros_like(blocks)
        self.scales = np.zeros(blocks.shape[:-1], np.float32)

    def offer(self, levels: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Consider ``levels``; which blocks they are better for."""
        product = (self._blocks * levels).sum(axis=-1)
        square = (levels * levels).sum(axis=-1)
        scales = product * _inverse(square)
        gain = product * scales
        better = gain > self._gain
        self._gain[better] = gain[better]
        self.levels[better] = levels[better]
        self.scales[better] = scales[better]
        return better


def _inverse(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / values, and 0 where that is no number."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / values
    return np.where(np.isfinite(inverse), inverse, np.float32(0))


def _nibbles(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Two levels in a byte, the first in its low half."""
    small = levels.astype(np.uint8)
    return small[..., 0::2] | small[..., 1::2] << 4


def _from_nibbles(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


def _even(zeros: NDArray[np.float32]) -> NDArray[np.float32]:
    """With one more zero point where a row has an odd number."""
    return np.pad(zeros, ((0, 0), (0, zeros.shape[1] % 2)))
