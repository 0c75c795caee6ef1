"""On a calibrated machine the predicted time is the sum of what was measured; ranges say how sure that is."""

from __future__ import annotations

import msgspec
import pytest

from edgellm.devices.measured import KernelSpeed, Measured
from edgellm.devices.measured_speed import measured_decode, measured_prefill, range_half
from edgellm.devices.model import AttentionLayer, ModelShape, TensorShape
from edgellm.devices.prediction import SpeedRange
from edgellm.devices.settings import RunSettings

RUN = RunSettings(context=2000)
PLAIN = RunSettings(context=2000, repack=False)
AVX2 = ("avx2",)
MEASURED = Measured(
    source="made up",
    kernels=(
        KernelSpeed(type="Q4_0", repacked=False, decode_gops=10.0, prefill_gops=100.0),
        KernelSpeed(type="Q4_0", repacked=True, decode_gops=20.0, prefill_gops=400.0),
        KernelSpeed(type="Q8_0", repacked=False, decode_gops=8.0, prefill_gops=50.0),
    ),
    decode_value_seconds=1e-7,
    decode_attention_gops=2.0,
    prefill_attention_gops=20.0,
    prefill_value_seconds=1e-8,
    spread=0.05,
)


def matrix(name: str, length: int, rows: int, kind: str = "Q4_0", *experts: int) -> TensorShape:
    return TensorShape(f"{name}.weight", kind, (length, rows, *experts), 0)


def model(*tensors: TensorShape, n_layers: int = 1, window: int | None = None) -> ModelShape:
    """Four heads of 50: attention of one row costs 800 operations per layer and token seen."""
    return ModelShape(
        architecture="llama",
        n_embd=1000,
        n_vocab=3000,
        n_heads=4,
        context_length=8192,
        layers=(AttentionLayer(2, 50, 50, window),) * n_layers,
        tensors=(*tensors, TensorShape("blk.0.attn_norm.weight", "F32", (1000,), 0)),
    )


QUERY = matrix("blk.0.attn_q", 1000, 2000)
LOOKED_UP = matrix("token_embd", 1000, 3000, "Q8_0")
OUTPUT = matrix("output", 1000, 3000, "Q8_0")
UNTIED = model(LOOKED_UP, QUERY, OUTPUT)
QUERY_S, OUTPUT_S = 0.4e-3, 0.75e-3  # 2 x 2 million weights at 10 GOPS, 2 x 3 million at 8
VALUES_S = 0.7e-3  # 1000 + 2000 + 1000 + 3000 values


def decode(shape: ModelShape, run: RunSettings = PLAIN, *, users: int = 1, filled: int = 500) -> SpeedRange:
    return measured_decode(shape, run, AVX2, MEASURED, users=users, filled=filled)


def around(seconds: float, half: float = 0.2) -> tuple[float, float]:
    """Both ends of the range for one step of ``seconds``, as they are printed."""
    return float(f"{(1 - half) / seconds:.3g}"), float(f"{(1 + half) / seconds:.3g}")


def ends(found: SpeedRange) -> tuple[float, float]:
    return found.low, found.high


def test_a_token_takes_the_sum_of_matrices_values_and_attention() -> None:
    assert ends(decode(UNTIED)) == around(QUERY_S + OUTPUT_S + VALUES_S + 0.2e-3)
    assert ends(decode(UNTIED, filled=1000)) == around(QUERY_S + OUTPUT_S + VALUES_S + 0.4e-3)
    assert decode(UNTIED).basis == "made up; +-20%: rounds lay +-5% apart"


def test_no_more_tokens_are_seen_than_the_context_holds() -> None:
    short = RunSettings(context=250, repack=False)
    assert decode(UNTIED, short, filled=9999) == decode(UNTIED, short, filled=250)
    assert decode(UNTIED, filled=0) == decode(UNTIED, filled=1)


def test_the_output_matrix_counts_and_embeddings_that_are_looked_up_do_not() -> None:
    assert decode(UNTIED) == decode(model(QUERY, OUTPUT))
    assert decode(UNTIED) == decode(model(LOOKED_UP, QUERY)), "a tied table is the output matrix"


def test_a_prompt_takes_no_output_matrix_and_the_last_feed_forward_once() -> None:
    layers = [matrix(f"blk.{i}.{name}", 1000, 2000) for i in range(2) for name in ("attn_q", "ffn_up")]
    found = measured_prefill(model(LOOKED_UP, *layers, OUTPUT, n_layers=2), PLAIN, AVX2, MEASURED, tokens=512)
    matrices = 3 * 2 * 2e6 / 100e9  # both attn_q, one ffn_up
    attention = 2 * 800 * 256 * 512 / 20e9  # each token sees half of the prompt on average
    assert ends(found) == around((512 * (matrices + 3 * 3000 * 1e-8) + attention) / 512)


def test_repacked_weights_have_a_speed_of_their_own() -> None:
    assert ends(decode(UNTIED, RUN)) == around(QUERY_S / 2 + OUTPUT_S + VALUES_S + 0.2e-3)
    without = measured_decode(UNTIED, RUN, (), MEASURED, users=1, filled=500)
    assert without == decode(UNTIED, PLAIN), "a processor without fast kernels repacks nothing"
    prompts = [measured_prefill(UNTIED, run, AVX2, MEASURED, tokens=512) for run in (RUN, PLAIN)]
    assert prompts[0].low > prompts[1].low


def test_rows_of_repacked_weights_have_times_of_their_own() -> None:
    measured = msgspec.structs.replace(
        MEASURED, repacked_decode_value_seconds=3e-7, repacked_prefill_value_seconds=2e-8
    )
    for run, decode_value_s, prompt_value_s in ((RUN, 3e-7, 2e-8), (PLAIN, 1e-7, 1e-8)):
        usual = msgspec.structs.replace(
            MEASURED, decode_value_seconds=decode_value_s, prefill_value_seconds=prompt_value_s
        )
        shape = model(QUERY, n_layers=2)
        found = measured_decode(shape, run, AVX2, measured, users=1, filled=500)
        assert found.middle == measured_decode(shape, run, AVX2, usual, users=1, filled=500).middle
        prompt = measured_prefill(shape, run, AVX2, measured, tokens=512)
        assert prompt.middle == measured_prefill(shape, run, AVX2, usual, tokens=512).middle


def test_a_type_that_was_not_measured_counts_as_the_most_similar_one() -> None:
    found = decode(model(matrix("blk.0.attn_q", 1000, 2000, "Q6_K"), OUTPUT))  # 6.6 bits: nearer to 8.5 than to 4.5
    assert ends(found) == around(4e6 / 8e9 + OUTPUT_S + VALUES_S + 0.2e-3, 0.40)
    assert found.basis == "made up; Q6_K counted as similar types: +-40%"


def test_a_type_that_is_wider_than_what_stands_for_it_takes_longer() -> None:
    found = decode(model(matrix("blk.0.attn_q", 1000, 2000, "F32"), OUTPUT))  # 32 bits, counted as 8.5
    assert ends(found) == around(4e6 / 8e9 * 32 / 8.5 + OUTPUT_S + VALUES_S + 0.2e-3, 0.40)
    prompt = measured_prefill(model(matrix("blk.0.attn_q", 1000, 2000, "F32")), PLAIN, AVX2, MEASURED, tokens=512)
    assert ends(prompt) == around(4e6 / 50e9 * 32 / 8.5 + 3000 * 1e-8 + 800 * 256 / 20e9, 0.40)


def test_a_form_that_was_not_measured_counts_as_the_other_form() -> None:
    kernels = tuple(kernel for kernel in MEASURED.kernels if not kernel.repacked)
    found = measured_decode(UNTIED, RUN, AVX2, msgspec.structs.replace(MEASURED, kernels=kernels), users=1, filled=500)
    assert ends(found) == around(QUERY_S + OUTPUT_S + VALUES_S + 0.2e-3, 0.40)


def test_a_little_of_an_unknown_type_does_not_widen_the_range() -> None:
    router = matrix("blk.0.router", 100, 100, "F32")
    found = decode(model(QUERY, OUTPUT, router))
    assert (found.high - found.low) / (found.high + found.low) == pytest.approx(0.2, abs=0.005)


def test_a_window_limits_what_attention_sees() -> None:
    windowed = model(QUERY, OUTPUT, window=100)
    assert ends(decode(windowed)) == around(QUERY_S + OUTPUT_S + VALUES_S + 0.04e-3)
    assert decode(windowed, filled=1500) == decode(windowed)
    assert decode(windowed, filled=50) == decode(UNTIED, filled=50)


def test_of_experts_only_those_in_use_count_and_the_range_is_wide() -> None:
    experts = matrix("blk.0.ffn_up_exps", 1000, 2000, "Q4_0", 8)
    shape = msgspec.structs.replace(model(experts, OUTPUT), n_experts=8, n_experts_used=2)
    values = VALUES_S - 0.3e-3 + 0.3e-3 * 2 / 8
    assert ends(decode(shape)) == around(2 * QUERY_S + OUTPUT_S + values + 0.2e-3, 0.40)


def test_users_together_lie_between_a_prompt_and_one_after_the_other() -> None:
    attention = 0.2e-3
    alone = QUERY_S + OUTPUT_S + VALUES_S + attention
    four, eighty = decode(UNTIED, users=4), decode(UNTIED, users=80)
    assert four.low == around(4 * alone)[0]
    assert four.high == around(QUERY_S + OUTPUT_S + VALUES_S + 4 * attention)[1], "weights are read once for all"
    assert eighty.low == around(80 * alone)[0]
    rows = 80 * (4e6 / 100e9 + 6e6 / 50e9)  # arithmetic takes longer than reading
    assert eighty.high == around(rows + VALUES_S + 80 * attention)[1]


@pytest.mark.parametrize(
    "changes",
    [{"flash_attention": False}, {"kv_type_k": "q8_0", "kv_type_v": "q8_0"}],
)
def test_attention_that_was_not_measured_widens_the_range(changes: dict[str, object]) -> None:
    found = decode(UNTIED, msgspec.structs.replace(PLAIN, **changes))
    assert ends(found) == around(QUERY_S + OUTPUT_S + VALUES_S + 0.2e-3, 0.40)
    assert "attention of this kind was not" in found.basis


def test_a_recurrent_state_widens_the_range() -> None:
    found = decode(msgspec.structs.replace(UNTIED, state_bytes=1000))
    assert ends(found) == around(QUERY_S + OUTPUT_S + VALUES_S + 0.2e-3, 0.40)


@pytest.mark.parametrize(("spread", "half"), [(0.0, 0.20), (0.08, 0.20), (0.2, 0.32), (1.0, 0.40)])
def test_what_lay_further_apart_is_predicted_within_a_wider_range(spread: float, half: float) -> None:
    assert range_half(msgspec.structs.replace(MEASURED, spread=spread)) == pytest.approx(half)
