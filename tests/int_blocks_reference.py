"""Blocks of integer levels in plain numpy: the arithmetic that the kernels have to reproduce, sum by sum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEPS = [np.float32(step) * np.float32(0.1) for step in range(-9, 10)]

Floats = NDArray[np.float32]


def quantize(values: Floats, block_size: int, bits: int, symmetric: bool) -> tuple[NDArray[np.generic], ...]:
    """Levels [rows, blocks, bytes], scales [rows, blocks], and zero points [rows, bytes] unless symmetric."""
    rows, row_length = values.shape
    blocks = -(-row_length // block_size)
    x = np.zeros((rows, blocks * block_size), np.float32)
    x[:, :row_length] = values
    x = x.reshape(rows, blocks, block_size)
    if bits == 8:
        scales = np.abs(x).max(axis=-1) / np.float32(127)
        levels = np.clip(np.rint(x * inverse(scales)[..., None]), -127, 127)
        return (levels + 128).astype(np.uint8), scales
    levels, scales, zeros = nibbles(x, symmetric)
    packed = pairs(levels)
    return (packed, scales) if symmetric else (packed, scales, pairs(np.pad(zeros, ((0, 0), (0, blocks % 2)))))


def nibbles(x: Floats, symmetric: bool) -> tuple[Floats, Floats, Floats]:
    """Levels 0 to 15, scales and zero points."""
    low, high = x.min(axis=-1), x.max(axis=-1)
    best_gain, best_scale = np.full(low.shape, -1, np.float32), np.zeros_like(low)
    best_levels, best_zero = np.zeros_like(x), np.zeros_like(low)
    for step in STEPS:
        if symmetric:
            extreme = np.where(high >= -low, high, low)
            factor, zero = inverse(extreme) * -(np.float32(8) + step), np.full(low.shape, 8, np.float32)
        else:
            bottom, top = np.minimum(low, 0), np.maximum(high, 0)
            factor = (np.float32(15) + step) * inverse(top - bottom)
            zero = np.clip(np.rint(-bottom * factor), 0, 15)
        levels = np.clip(np.rint(x * factor[..., None]), -zero[..., None], np.float32(15) - zero[..., None])
        product, square = total(x * levels), total(levels * levels)
        with np.errstate(invalid="ignore", over="ignore"):
            scale = np.where(square > 0, product / square, np.float32(0))
            gain = product * scale
        better = gain > best_gain
        best_gain[better], best_scale[better], best_zero[better] = gain[better], scale[better], zero[better]
        best_levels[better] = levels[better]
    return best_levels + best_zero[..., None], best_scale, best_zero


def total(values: Floats) -> Floats:
    """The sum along the last axis, from the first value to the last."""
    sums = np.zeros_like(values[..., 0])
    for index in range(values.shape[-1]):
        sums = sums + values[..., index]
    return sums


def inverse(values: Floats) -> Floats:
    """1 / values, and 0 where that is no number."""
    with np.errstate(divide="ignore", over="ignore"):
        found = np.float32(1) / values
    return np.where(np.isfinite(found), found, np.float32(0))


def pairs(levels: Floats) -> NDArray[np.uint8]:
    """Two levels in a byte, the first one low."""
    small = levels.astype(np.uint8)
    return small[..., 0::2] | small[..., 1::2] << 4
