"""Numbers -> the tensors that stand for a matrix, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgellm_converters import _quantize
from edgellm_converters.onnx.encoding import Encoding, Form

__all__ = ["dequantize_blocks", "quantize"]

# Of a level of a row: x86 processors without VNNI add two products of 8 bits in 16, where 255 * 64 * 2 just fits.
_ROW_LIMIT = 64


def quantize(values: NDArray[np.float32], encoding: Encoding) -> tuple[NDArray[np.generic], ...]:
    """``values`` [rows, row length] as the tensors of ``parts_of``, but for int8 columns, which stay rows here.

    Four bits leave 16 levels, so the scale of a block is searched for the smallest squared error. Finite numbers give
    finite scales; the result does not depend on the processor.
    """
    if encoding.form is Form.FLOAT:
        return (values,)
    if encoding.form is Form.COLUMNS:
        return _rows(values)
    rows, row_length = values.shape
    blocks = encoding.n_blocks(row_length)
    levels = np.empty((rows, blocks, encoding.block_size * encoding.bits // 8), np.uint8)
    scales = np.empty((rows, blocks), np.float32)
    zeros = np.empty((rows, 0 if encoding.symmetric else -(-blocks * encoding.bits // 8)), np.uint8)
    _quantize.quantize_int_blocks(
        _quantize.kernel_names()[0],
        values.reshape(-1),
        row_length,
        encoding.block_size,
        encoding.bits,
        encoding.symmetric,
        levels.reshape(-1),
        scales.reshape(-1),
        zeros.reshape(-1),
    )
    return (levels, scales) if encoding.symmetric else (levels, scales, zeros)


def dequantize_blocks(
    levels: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.uint8] | None,
    encoding: Encoding,
    row_length: int,
) -> NDArray[np.float32]:
    """The matrix [rows, row_length] that the tensors of a matrix in blocks stand for."""
    rows, blocks = scales.shape
    numbers = _unpacked(levels, encoding).reshape(rows, blocks, encoding.block_size)
    zeros = np.full((rows, blocks), 1 << (encoding.bits - 1), np.float32)
    if zero_points is not None:
        zeros = _unpacked(zero_points, encoding)[:, :blocks]
    return np.ascontiguousarray(((numbers - zeros[..., None]) * scales[..., None]).reshape(rows, -1)[:, :row_length])


def _rows(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric levels with one scale for each row."""
    scales = np.abs(values).max(axis=-1) / np.float32(_ROW_LIMIT)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scales
    levels = np.rint(values * np.where(np.isfinite(inverse), inverse, np.float32(0))[:, None])
    return np.clip(levels, -_ROW_LIMIT, _ROW_LIMIT).astype(np.int8), scales


def _unpacked(packed: NDArray[np.uint8], encoding: Encoding) -> NDArray[np.float32]:
    """Levels as floats; two lie in a byte when they have 4 bits, the first one low."""
    if encoding.bits == 8:
        return packed.astype(np.float32)
    pairs = np.stack([packed & 15, packed >> 4], axis=-1)
    return pairs.reshape(*packed.shape[:-1], -1).astype(np.float32)
