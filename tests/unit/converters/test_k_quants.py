"""Our kernels against ggml's own function: every byte, on every instruction set that this machine has."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgellm_converters import _quantize, k_quants
from edgellm_converters.gguf import ggml

TYPES = sorted(k_quants.BLOCK_BYTES)
KERNELS = _quantize.kernel_names()


def by_ggml(type_name: str, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    out = np.empty(values.size // k_quants.SUPER_BLOCK * k_quants.BLOCK_BYTES[type_name], np.uint8)
    ggml.quantize(type_name, values, out)
    return out


def by_us(type_name: str, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    out = np.full(values.size // k_quants.SUPER_BLOCK * k_quants.BLOCK_BYTES[type_name], 0xAA, np.uint8)
    k_quants.quantize_into(type_name, values, out, ggml.quantize)
    return out


def weights(kind: str, count: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(count, np.float32) * np.float32(0.02)
    if kind == "heavy tails":
        values = (rng.standard_t(1.2, count) * 0.01).astype(np.float32)
    elif kind == "sparse":
        values *= rng.random(count) < 0.3
    elif kind == "constant blocks":
        values = np.repeat(values[: count // 32], 32)
    elif kind == "one-sided":
        values = np.abs(values) + np.float32(0.01)
    elif kind == "mixed scales":
        values *= np.float32(10.0) ** -(np.arange(count, dtype=np.float32) // 16 % 12)
    elif kind == "subnormal":
        values = (rng.integers(0, 1 << 23, count).astype(np.uint32)).view(np.float32)
    elif kind == "any bits":
        values = rng.integers(0, 1 << 32, count, dtype=np.uint32).view(np.float32).copy()
        values[~np.isfinite(values)] = 1.0
    return np.ascontiguousarray(values, np.float32)


KINDS = ["gaussian", "heavy tails", "sparse", "constant blocks", "one-sided", "mixed scales", "subnormal", "any bits"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_writes_ggmls_bytes_wherever_it_writes(kernel: str, type_name: str, kind: str) -> None:
    values = weights(kind, 61 * k_quants.SUPER_BLOCK, seed=3)
    expected = by_ggml(type_name, values).reshape(61, -1)
    written, left_over = np.zeros_like(expected), np.zeros(61, np.uint8)
    marked = _quantize.quantize(kernel, type_name, values, written.reshape(-1), left_over)
    assert marked == left_over.sum()
    covered = left_over == 0
    assert covered.all() or kind in ("subnormal", "any bits")
    np.testing.assert_array_equal(written[covered], expected[covered])
    assert not written[~covered].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type_name", TYPES)
def test_the_result_is_ggmls_for_every_kind_of_weights(type_name: str, kind: str) -> None:
    values = weights(kind, 40 * k_quants.SUPER_BLOCK, seed=5)
    np.testing.assert_array_equal(by_us(type_name, values), by_ggml(type_name, values))


@pytest.mark.parametrize("type_name", TYPES)
def test_super_blocks_that_a_kernel_leaves_are_done_by_ggml(type_name: str) -> None:
    values = weights("gaussian", 20 * k_quants.SUPER_BLOCK, seed=6)
    for super_block in (0, 7, 8, 19):
        values[super_block * k_quants.SUPER_BLOCK + 5] = np.inf
    np.testing.assert_array_equal(by_us(type_name, values), by_ggml(type_name, values))


@pytest.mark.parametrize("type_name", TYPES)
@given(count=st.integers(1, 9), seed=st.integers(0, 2**32 - 1), exponent=st.integers(-20, 20))
@settings(max_examples=20, deadline=None)
def test_any_number_of_super_blocks_at_any_scale(type_name: str, count: int, seed: int, exponent: int) -> None:
    values = weights("gaussian", count * k_quants.SUPER_BLOCK, seed) * np.float32(2.0**exponent)
    np.testing.assert_array_equal(by_us(type_name, values), by_ggml(type_name, values))


def test_a_kernel_that_differs_from_the_reference_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    def other(type_name: str, values: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
        ggml.quantize(type_name, values, out)
        out[-1] ^= 1

    assert k_quants.kernel_for("Q4_K", other) is None
    assert "not used" in caplog.text
    values = weights("gaussian", 2 * k_quants.SUPER_BLOCK, seed=1)
    out = np.empty(2 * 144, np.uint8)
    k_quants.quantize_into("Q4_K", values, out, other)
    expected = by_ggml("Q4_K", values)
    expected[-1] ^= 1
    np.testing.assert_array_equal(out, expected)


def test_other_types_go_to_ggml() -> None:
    values = weights("gaussian", 64, seed=1)
    out = np.empty(2 * 18, np.uint8)
    k_quants.quantize_into("Q4_0", values, out, ggml.quantize)
    expected = np.empty_like(out)
    ggml.quantize("Q4_0", values, expected)
    np.testing.assert_array_equal(out, expected)


def test_threads_share_the_kernels() -> None:
    values = weights("gaussian", 64 * k_quants.SUPER_BLOCK, seed=8)
    expected = by_ggml("Q4_K", values)
    results: list[NDArray[np.uint8]] = []
    threads = [threading.Thread(target=lambda: results.append(by_us("Q4_K", values))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, expected) for result in results)


@pytest.mark.parametrize(
    ("kernel", "type_name", "count", "out_bytes", "marks"),
    [
        ("none", "Q4_K", 256, 144, 1),
        ("baseline", "Q4_0", 256, 144, 1),
        ("baseline", "Q4_K", 255, 144, 1),
        ("baseline", "Q4_K", 256, 143, 1),
        ("baseline", "Q4_K", 512, 288, 1),
    ],
)
def test_wrong_names_and_sizes_are_refused(kernel: str, type_name: str, count: int, out_bytes: int, marks: int) -> None:
    with pytest.raises(ValueError):
        _quantize.quantize(
            kernel, type_name, np.zeros(count, np.float32), np.empty(out_bytes, np.uint8), np.empty(marks, np.uint8)
        )
