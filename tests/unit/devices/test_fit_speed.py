"""Predicted ranges hold what others published."""

from __future__ import annotations

import pytest
from known_shapes import make_shape

from edgellm.devices.fit import RunSettings, estimate
from edgellm.devices.load import load_profile
from edgellm.devices.speed import predict_decode

ALL = ("cuda", "metal")


@pytest.mark.parametrize(
    ("device", "model", "recipe", "published"),
    [
        ("raspberrypi5", "llama3.2-3b", "Q4_K_M", (4.61, 5.55)),
        ("raspberrypi5", "llama3.1-8b", "Q4_K_M", (2.17,)),
        ("raspberrypi4", "llama3.2-3b", "Q4_K_M", (1.60,)),
        ("raspberrypi4", "tinyllama-1.1b", "Q8_0", (3.0,)),
        ("raspberrypizero2w", "smollm2-360m", "Q4_K_M", (2.6,)),
        ("rk3588", "phi3-mini", "IQ4_XS", (6.9,)),
        ("intel-n100", "llama3.2-3b", "Q4_K_M", (9.06,)),
        ("intel-n100", "llama3.1-8b", "Q4_K_M", (3.0,)),
        ("x86-laptop", "llama3.2-3b", "Q4_K_M", (11.1,)),
        ("ryzen-apu", "llama3.2-3b", "Q4_K_M", (23.8,)),
        ("ryzen-apu", "qwen2.5-14b", "Q4_K_M", (5.83,)),
        ("apple-m4", "llama3.2-3b", "Q4_K_M", (41.3,)),
        ("apple-m4", "llama3.1-8b", "Q4_K_M", (20.9,)),
        ("android-flagship", "llama3.1-8b", "Q4_K_M", (5.1,)),
        ("android-flagship", "qwen2.5-1.5b", "Q4_0", (28.0,)),
        ("android-midrange", "qwen3-1.7b", "Q4_K_M", (18.0,)),
        ("spacemit-k1", "qwen2.5-1.5b", "Q4_0", (3.8,)),
        ("jetson-orin-nano", "qwen2.5-1.5b", "Q4_K_M", (32.0,)),
    ],
)
def test_published_decode_rates_lie_in_the_range(
    device: str, model: str, recipe: str, published: tuple[float, ...]
) -> None:
    found = estimate(
        make_shape(model, recipe), load_profile(device).profile, RunSettings(context=2048), accelerators=ALL
    )
    assert found.decode is not None
    for rate in published:
        assert found.decode.low <= rate <= found.decode.high


@pytest.mark.parametrize(
    ("device", "model", "recipe", "published"),
    [
        ("raspberrypi4", "tinyllama-1.1b", "Q8_0", 10),
        ("rk3588", "phi3-mini", "IQ4_XS", 11),
        ("x86-laptop", "llama3.2-3b", "Q4_K_M", 28.7),
        ("apple-m4", "llama3.1-8b", "Q4_K_M", 225),
        ("android-midrange", "qwen3-1.7b", "Q4_0", 90),
        ("spacemit-k1", "qwen2.5-1.5b", "Q4_0", 24),
    ],
)
def test_published_prefill_rates_lie_in_the_range(device: str, model: str, recipe: str, published: float) -> None:
    found = estimate(
        make_shape(model, recipe), load_profile(device).profile, RunSettings(context=2048), accelerators=ALL
    )
    assert found.prefill is not None
    assert found.prefill.low <= published <= found.prefill.high


def test_without_a_known_bandwidth_there_is_no_speed() -> None:
    found = estimate(make_shape("llama3.2-3b", "Q4_K_M"), load_profile("apple-m1").profile, RunSettings(context=2048))
    assert found.decode is None
    assert any("speed unknown" in note for note in found.notes)
    assert any("CPU only: this runtime has no METAL" in note and "GGML_METAL" in note for note in found.notes)


def test_more_users_share_one_reading_of_the_weights() -> None:
    profile, shape = load_profile("raspberrypi5").profile, make_shape("llama3.2-1b", "Q4_0")
    run = RunSettings(context=2048, sequences=4)
    alone, four = (predict_decode(shape, run, profile, users=users) for users in (1, 4))
    assert alone is not None
    assert four is not None
    assert four.middle < alone.middle < 4 * four.middle


def test_repacking_speeds_up_prompts_only() -> None:
    profile, shape = load_profile("raspberrypi5").profile, make_shape("llama3.2-3b", "Q4_K_M")
    with_copy, without = (estimate(shape, profile, RunSettings(context=2048, repack=r)) for r in (True, False))
    assert with_copy.decode == without.decode
    assert with_copy.prefill is not None
    assert without.prefill is not None
    assert with_copy.prefill.low > 1.5 * without.prefill.high
