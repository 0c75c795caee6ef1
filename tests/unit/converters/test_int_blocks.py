"""The blocks of MatMulNBits: every kernel set against plain numpy, and what the numbers lose."""

from __future__ import annotations

import numpy as np
import pytest

import int_blocks_reference as reference
from edgellm_converters import _quantize
from edgellm_converters.onnx.blocks import dequantize_blocks, quantize
from edgellm_converters.onnx.encoding import Encoding, Form

KINDS = [(4, True), (4, False), (8, True)]


def values_of(rows: int, row_length: int) -> np.ndarray:
    """Rows of the kinds that weights are made of: gaussian, heavy-tailed, one-sided, sparse, constant, coarse, ..."""
    rng = np.random.default_rng(row_length)
    x = rng.standard_normal((rows, row_length), np.float32)
    x[1] **= 5
    x[2] = np.abs(x[2]) + np.float32(0.5)
    x[3] *= x[3] > 1
    x[4] = np.float32(-0.375)
    x[5] = np.round(x[5])
    x[6] = 0
    x[7] *= np.float32(1e-42)  # not normal: its inverse is infinite
    x[8] *= np.float32(1e15)
    return x


@pytest.mark.parametrize("kernels", _quantize.kernel_names())
@pytest.mark.parametrize("block_size", [16, 32, 64, 128])
@pytest.mark.parametrize("row_length", [128, 160, 80])
@pytest.mark.parametrize(("bits", "symmetric"), KINDS)
def test_every_kernel_set_writes_the_same(
    kernels: str, block_size: int, row_length: int, bits: int, symmetric: bool
) -> None:
    values = values_of(24, row_length)
    expected = reference.quantize(values, block_size, bits, symmetric)
    found = [np.full_like(part, 77).reshape(-1) for part in expected]
    zeros = found[2] if len(found) > 2 else np.empty(0, np.uint8)
    _quantize.quantize_int_blocks(
        kernels, values.reshape(-1), row_length, block_size, bits, symmetric, found[0], found[1], zeros
    )
    for part, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, wanted.reshape(-1))


@pytest.mark.parametrize(("bits", "symmetric"), KINDS)
def test_numbers_come_back_within_half_a_step(bits: int, symmetric: bool) -> None:
    values = np.random.default_rng(1).uniform(-1, 1, (8, 100)).astype(np.float32)
    encoding = Encoding(Form.BLOCKS, bits, 32, symmetric)
    levels, scales, *zeros = quantize(values, encoding)
    restored = dequantize_blocks(levels, scales, zeros[0] if zeros else None, encoding, 100)
    # 0.51: least squares moves the scale; the positive end of symmetric levels is one step short
    allowed = np.repeat(scales, 32, axis=1)[:, :100] * (1.6 if symmetric and bits == 4 else 0.9)
    assert (np.abs(restored - values) <= np.abs(allowed)).all()


@pytest.mark.parametrize(("symmetric", "loss"), [(True, 0.083), (False, 0.079)])
def test_the_search_beats_plain_rounding(symmetric: bool, loss: float) -> None:
    values = np.random.default_rng(2).standard_normal((64, 1024), np.float32)
    encoding = Encoding(Form.BLOCKS, 4, 32, symmetric)
    levels, scales, *zeros = quantize(values, encoding)
    restored = dequantize_blocks(levels, scales, zeros[0] if zeros else None, encoding, 1024)
    error = np.sqrt(np.square(restored - values).mean() / np.square(values).mean())
    assert error < loss  # plain rounding: 0.0847 and 0.0796


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": "mmx"}, "no kernels"),
        ({"row_length": 0}, "whole rows"),
        ({"row_length": 33}, "whole rows"),
        ({"block_size": 24}, "block_size"),
        ({"block_size": 512}, "block_size"),
        ({"bits": 3}, "bits"),
        ({"bits": 8, "symmetric": False}, "bits"),
        ({"symmetric": False}, "zero_points"),
        ({"levels": np.empty(31, np.uint8)}, "levels"),
        ({"scales": np.empty(3, np.float32)}, "scales"),
    ],
)
def test_wrong_sizes_are_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "kernels": "baseline",
        "values": np.zeros(64, np.float32),
        "row_length": 32,
        "block_size": 32,
        "bits": 4,
        "symmetric": True,
        "levels": np.empty(32, np.uint8),
        "scales": np.empty(2, np.float32),
        "zero_points": np.empty(0, np.uint8),
    }
    with pytest.raises(ValueError, match=message):
        _quantize.quantize_int_blocks(**(arguments | change))
