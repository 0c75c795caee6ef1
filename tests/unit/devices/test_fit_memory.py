"""The memory model, against what llama.cpp (ggml 0.25.3) logged for files of these shapes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from known_shapes import MODELS, RECIPES, make_shape

from edgellm.devices.load import load_profile
from edgellm.devices.memory import compute_bytes, kv_bytes, os_reserve_bytes, predict_memory
from edgellm.devices.model import AttentionLayer
from edgellm.devices.profile import Memory
from edgellm.devices.repack import repack_bytes, row_multiples
from edgellm.devices.settings import RunSettings

MIB = 2**20
AVX512 = ("avx2", "avx512f")
DOTPROD = ("asimd", "asimddp")


@pytest.mark.parametrize(
    ("model", "context", "settings", "kv_mib", "compute_and_output_mib"),
    [
        ("smollm2-135m", 1024, {}, 22.5, 14.51 + 0.19),
        ("smollm2-135m", 4096, {}, 90.0, 17.51 + 0.19),
        ("smollm2-135m", 2048, {"ubatch": 64}, 45.0, 1.94 + 0.19),
        ("smollm2-135m", 8192, {"flash_attention": False}, 180.0, 166.38 + 0.19),
        ("smollm2-135m", 2048, {"sequences": 8}, 450.0, 15.75 + 1.88),
        ("qwen2.5-0.5b", 1024, {}, 12.0, 36.51 + 0.58),
        ("qwen2.5-0.5b", 4096, {}, 48.0, 39.51 + 0.58),
        ("llama3.2-1b", 1024, {}, 32.0, 65.01 + 0.49),
        ("llama3.2-1b", 8192, {"flash_attention": False}, 256.0, 550.01 + 0.49),
        ("llama3.2-1b", 2048, {"kv_type_k": "q8_0", "kv_type_v": "q8_0"}, 34.0, 62.04 + 0.49),
        ("tinyllama-1.1b", 2048, {}, 44.0, 51.01 + 0.12),
    ],
)
def test_cache_and_buffers_are_what_llama_cpp_allocates(
    model: str, context: int, settings: dict[str, object], kv_mib: float, compute_and_output_mib: float
) -> None:
    run = msgspec.structs.replace(RunSettings(context=context), **settings)
    shape = make_shape(model, "Q4_0")
    assert kv_bytes(shape, run) == kv_mib * MIB
    assert compute_bytes(shape, run) == pytest.approx(compute_and_output_mib * MIB, rel=0.07)


def test_logits_of_a_whole_step_dominate_the_compute_buffer() -> None:
    run = RunSettings(context=2048, n_outputs=512)
    shape = make_shape("llama3.2-1b", "Q4_0")
    logits = 4 * 512 * shape.n_vocab  # computed, and kept
    assert compute_bytes(shape, run) == pytest.approx(258.5 * MIB + logits, rel=0.02)


def test_the_repacked_copy_of_a_q4_0_model_is_nearly_the_model() -> None:
    shape = make_shape("tinyllama-1.1b", "Q4_0")
    assert repack_bytes(shape, AVX512) == pytest.approx(519.75 * MIB, rel=0.001)


def test_types_repack_by_instruction_set() -> None:
    assert "Q6_K" not in row_multiples(AVX512)
    assert "Q2_K" in row_multiples(AVX512)
    assert "Q2_K" not in row_multiples(("avx2",))
    assert {"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL"} <= set(row_multiples(DOTPROD))
    assert row_multiples(("asimd",)) == {}
    assert row_multiples(("v", "zvfh", "zvl128b")) == {}


def test_a_tied_embedding_is_repacked_as_output_matrix_and_kept() -> None:
    shape = make_shape("llama3.2-1b", "Q8_0")
    copy = repack_bytes(shape, DOTPROD)
    assert copy > sum(t.size_bytes for t in shape.tensors if t.name.startswith("blk.") and len(t.shape) == 2)
    memory = load_profile("raspberrypi5").profile.memory
    read = predict_memory(shape, RunSettings(context=1024, mmap=False), DOTPROD, memory)
    embedding = shape.tensors[0].size_bytes
    assert read.weights_bytes == pytest.approx(embedding, rel=0.01)


def test_sliding_layers_keep_their_window_only() -> None:
    shape = make_shape("llama3.2-1b", "Q4_0")
    window = AttentionLayer(8, 64, 64, window=512)
    sliding = msgspec.structs.replace(shape, layers=(*shape.layers[:8], *(window,) * 8))
    run = RunSettings(context=8192)
    assert kv_bytes(sliding, run) == (8 * 8192 + 8 * 1024) * 8 * 128 * 2


def test_the_reserve_follows_size_and_kind() -> None:
    def reserve(size: str, system: str = "headless") -> int:
        return os_reserve_bytes(Memory(sizes=(size,), default_size=size, source="test", system=system))  # type: ignore[arg-type]

    assert reserve("512MiB") == 150_000_000
    assert reserve("1GiB") == reserve("2GiB") == 300_000_000
    assert reserve("4GiB") == 600_000_000
    assert reserve("8GiB") == reserve("32GiB") == 1_000_000_000
    assert reserve("8GiB", "desktop") == 2_000_000_000
    assert reserve("8GiB", "jetson") == 2_500_000_000
    assert reserve("8GiB", "android") == 4 * 2**30
    assert reserve("10GiB", "macos") == 3 * 2**30


models, recipes = st.sampled_from(sorted(MODELS)), st.sampled_from(RECIPES)
settings = st.builds(
    RunSettings,
    context=st.integers(1, 65536),
    sequences=st.integers(1, 16),
    ubatch=st.sampled_from([16, 64, 128, 512, 2048]),
    kv_type_k=st.sampled_from(["f16", "q8_0"]),
    kv_type_v=st.sampled_from(["f16", "q8_0"]),
    flash_attention=st.booleans(),
    mmap=st.booleans(),
    repack=st.booleans(),
)


@hypothesis_settings(deadline=None)
@given(models, recipes, settings, st.integers(0, 4096), st.integers(0, 4))
def test_memory_never_falls_when_more_is_asked(
    model: str, recipe: str, run: RunSettings, context: int, sequences: int
) -> None:
    memory = load_profile("raspberrypi5").profile.memory
    shape = make_shape(model, recipe)
    more = msgspec.structs.replace(run, context=run.context + context, sequences=run.sequences + sequences)
    less, greater = (predict_memory(shape, way, DOTPROD, memory).total_bytes for way in (run, more))
    assert less <= greater


@hypothesis_settings(deadline=None)
@given(settings)
def test_every_layer_takes_more(run: RunSettings) -> None:
    memory = load_profile("raspberrypi5").profile.memory
    shape = make_shape("llama3.2-1b", "Q4_K_M")
    totals = []
    for kept in (2, 8, 16):
        tensors = tuple(t for t in shape.tensors if not t.name.startswith("blk.") or int(t.name.split(".")[1]) < kept)
        smaller = msgspec.structs.replace(shape, layers=shape.layers[:kept], tensors=tensors)
        totals.append(predict_memory(smaller, run, DOTPROD, memory).total_bytes)
    assert totals == sorted(set(totals))
