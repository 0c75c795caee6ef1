"""The parts of a step are found again in times that were made of known parts."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.devices.gguf_shape import shape_from_gguf
from edgellm.devices.measured import Measured
from edgellm.devices.measured_speed import measured_decode, measured_prefill
from edgellm.devices.settings import RunSettings
from edgellm.formats.gguf import read_header
from edgellm_runtimes.calibrate.solve import Reference, kernel_speed, solve_reference, solve_values
from edgellm_runtimes.calibrate.synthetic import Shape, model_file
from edgellm_runtimes.calibrate.timing import Timing
from edgellm_runtimes.llama_cpp.library import library

WIDE, NARROW = Shape(n_embd=2048, n_ff=6144, n_layers=4), Shape(n_embd=512, n_ff=1536, n_layers=16)
VOCABULARY, PROMPT, SHALLOW = 512, 512, 16
EPYC = Reference(8.4e-9, 16.5, 112.0, 6e-10)
PI_ZERO = Reference(2e-7, 0.4, 2.5, 3e-8)


def times(shape: Shape, decode_gops: float, prefill_gops: float, rest: Reference) -> Timing:
    """What a machine with these speeds takes, written down from what llama.cpp computes."""
    n, kv = shape.n_embd, shape.n_kv_heads * shape.head_size
    attention_matrices = [(n, n), (kv, n), (kv, n), (n, n)]
    feed_forward = [(shape.n_ff, n), (shape.n_ff, n), (n, shape.n_ff)]
    decoded = (attention_matrices + feed_forward) * shape.n_layers + [(VOCABULARY, n)]
    prompted = attention_matrices * shape.n_layers + feed_forward * (shape.n_layers - 1)  # of the last layer one row

    def step(matrices: list[tuple[int, int]], gops: float, value_seconds: float) -> float:
        return sum(2e-9 * rows * length / gops + (rows + length) * value_seconds for rows, length in matrices)

    def attention(looks: float, gops: float) -> float:
        return shape.n_layers * looks * 2 * 2 * n / (gops * 1e9)  # products with keys, and with values

    decode = step(decoded, decode_gops, rest.decode_value_seconds)
    prompt = PROMPT * step(prompted, prefill_gops, rest.prefill_value_seconds)
    return Timing(
        decode_s=decode + attention(SHALLOW, rest.decode_attention_gops),
        prefill_s=prompt + attention(PROMPT * PROMPT / 2, rest.prefill_attention_gops),
        deep_decode_s=decode + attention(2 * PROMPT, rest.decode_attention_gops),
        deep_prefill_s=prompt + attention(PROMPT * PROMPT * 3 / 2, rest.prefill_attention_gops),
    )


@pytest.mark.parametrize(
    ("rest", "speeds"),
    [
        pytest.param(EPYC, (87.2, 284.7), id="EPYC"),
        pytest.param(PI_ZERO, (3.1, 4.0), id="slow board"),
        pytest.param(Reference(0.0, 5.0, 50.0, 0.0), (30.0, 100.0), id="nothing between the matrices"),
    ],
)
def test_known_parts_are_found_again(rest: Reference, speeds: tuple[float, float]) -> None:
    found = solve_reference(WIDE, times(WIDE, *speeds, rest), NARROW, times(NARROW, *speeds, rest))
    assert msgspec.structs.astuple(found) == pytest.approx(msgspec.structs.astuple(rest), rel=1e-6, abs=1e-16)


def test_another_pair_of_models_gives_its_own_fixed_times() -> None:
    """As of a type that is repacked, whose rows are laid out in another way."""
    other = Reference(1.2e-8, EPYC.decode_attention_gops, EPYC.prefill_attention_gops, 3e-10)
    pair = times(WIDE, 265.0, 608.0, other), times(NARROW, 265.0, 608.0, other)
    found = solve_values(WIDE, pair[0], NARROW, pair[1], EPYC)
    assert msgspec.structs.astuple(found) == pytest.approx(msgspec.structs.astuple(other), rel=1e-6)


@pytest.mark.parametrize(("decode_gops", "prefill_gops"), [(116.8, 232.3), (265.0, 608.0), (1.5, 2.0)])
def test_further_types_need_one_model_each(decode_gops: float, prefill_gops: float) -> None:
    found = kernel_speed("Q4_0", True, WIDE, times(WIDE, decode_gops, prefill_gops, EPYC), EPYC)
    assert (found.type, found.repacked) == ("Q4_0", True)
    assert found.decode_gops == pytest.approx(decode_gops, rel=1e-3)
    assert found.prefill_gops == pytest.approx(prefill_gops, rel=1e-3)


seconds = st.floats(1e-4, 100.0)
prompt_seconds = st.floats(1e-2, 1000.0)
timings = st.builds(
    Timing, decode_s=seconds, prefill_s=prompt_seconds, deep_decode_s=seconds, deep_prefill_s=prompt_seconds
)


@given(wide=timings, narrow=timings, other=timings)
def test_noise_gives_no_speed_that_cannot_be(wide: Timing, narrow: Timing, other: Timing) -> None:
    rest = solve_reference(WIDE, wide, NARROW, narrow)
    kernels = tuple(kernel_speed("Q4_0", False, WIDE, timing, rest) for timing in (wide, other))
    measured = Measured(source="noise", kernels=kernels, spread=0.0, **msgspec.structs.asdict(rest))
    assert msgspec.json.decode(msgspec.json.encode(measured), type=Measured) == measured  # within the fields' limits
    for kernel, timing in zip(kernels, (wide, other), strict=True):
        at_best = 2e-9 * WIDE.n_weights / timing.decode_s
        assert at_best * 0.999 <= kernel.decode_gops <= 20.01 * at_best  # matrices are a twentieth of a step at least
        assert math.isfinite(kernel.prefill_gops)


def test_equal_times_of_short_and_long_contexts_mean_that_attention_costs_little() -> None:
    shallow = Timing(decode_s=0.01, prefill_s=0.5, deep_decode_s=0.009, deep_prefill_s=0.4)
    found = solve_reference(WIDE, shallow, NARROW, Timing(decode_s=0.002, prefill_s=0.1))
    assert found.decode_attention_gops > 100 * EPYC.decode_attention_gops
    assert found.prefill_attention_gops > 100 * EPYC.prefill_attention_gops


def test_the_model_of_a_calibration_is_predicted_as_it_was_timed() -> None:
    """Both count weights, values and attention alike: one takes apart what the other adds up."""
    small = Shape(n_embd=512, n_ff=1536, n_layers=3), Shape(n_embd=256, n_ff=768, n_layers=4)
    wide, narrow = (times(shape, 20.0, 60.0, PI_ZERO) for shape in small)
    rest = solve_reference(small[0], wide, small[1], narrow)
    kernel = kernel_speed("Q8_0", False, small[0], wide, rest)
    measured = Measured(source="made up", kernels=(kernel,), spread=0.0, **msgspec.structs.asdict(rest))
    for shape, timing in zip(small, (wide, narrow), strict=True):
        with model_file(library()._lib, shape, "Q8_0") as path:
            model = shape_from_gguf(read_header(path))
        run = RunSettings(context=2048)
        for filled, decode_s in ((SHALLOW, timing.decode_s), (2 * PROMPT, timing.deep_decode_s)):
            decode = measured_decode(model, run, (), measured, users=1, filled=filled)
            assert decode.middle == pytest.approx(1 / decode_s, rel=5e-3)
        prefill = measured_prefill(model, run, (), measured, tokens=PROMPT)
        assert prefill.middle == pytest.approx(PROMPT / timing.prefill_s, rel=5e-3)
