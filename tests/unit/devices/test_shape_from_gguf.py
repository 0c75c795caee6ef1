"""Shapes from GGUF headers of many architectures."""

from __future__ import annotations

from typing import Any

import pytest

from edgellm.devices.gguf_shape import shape_from_gguf
from edgellm.devices.windows import sliding_layers
from edgellm.errors import ModelFileError
from edgellm.formats.gguf import ArraySummary, GGUFHeader, TensorEntry


def header(architecture: str, metadata: dict[str, Any], *, vocabulary: int = 1000) -> GGUFHeader:
    values: dict[str, Any] = {"general.architecture": architecture, "general.file_type": 15}
    values |= {f"{architecture}.{name}": value for name, value in metadata.items()}
    embedding = TensorEntry("token_embd.weight", "Q4_K", (512, vocabulary), 4096, 512 * vocabulary // 256 * 144)
    return GGUFHeader(3, 32, values, {}, {}, (embedding,), 4096, 4096 + embedding.size_bytes)


PLAIN = {
    "block_count": 6,
    "embedding_length": 512,
    "context_length": 4096,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
}


def test_a_plain_model() -> None:
    shape = shape_from_gguf(header("llama", PLAIN))
    assert (shape.n_embd, shape.n_heads, shape.n_vocab, shape.context_length) == (512, 8, 1000, 4096)
    assert [(layer.n_kv_heads, layer.key_length, layer.value_length) for layer in shape.layers] == [(2, 64, 64)] * 6
    assert shape.recipe == "Q4_K_M"
    assert shape.is_tied
    assert shape.notes == ()


def test_head_sizes_apart_from_the_hidden_size() -> None:
    shape = shape_from_gguf(header("qwen3", PLAIN | {"attention.key_length": 128, "attention.value_length": 96}))
    assert (shape.layers[0].key_length, shape.layers[0].value_length) == (128, 96)


def test_heads_that_differ_by_layer() -> None:
    shape = shape_from_gguf(header("openelm", PLAIN | {"attention.head_count_kv": [1, 1, 2, 2, 4, 4]}))
    assert [layer.n_kv_heads for layer in shape.layers] == [1, 1, 2, 2, 4, 4]


def test_without_kv_heads_every_head_has_its_own() -> None:
    metadata = {name: value for name, value in PLAIN.items() if name != "attention.head_count_kv"}
    assert shape_from_gguf(header("gptneox", metadata)).layers[0].n_kv_heads == 8


@pytest.mark.parametrize(
    ("architecture", "n_full"), [("gemma2", 3), ("gemma3", 1), ("cohere2", 1), ("gpt-oss", 3), ("olmo2", 1)]
)
def test_sliding_windows_that_llama_cpp_honours(architecture: str, n_full: int) -> None:
    shape = shape_from_gguf(header(architecture, PLAIN | {"attention.sliding_window": 1024}))
    assert [layer.window for layer in shape.layers].count(None) == n_full
    assert {layer.window for layer in shape.layers} == {None, 1024}


def test_the_header_may_give_the_pattern() -> None:
    pattern = [True, True, False, True, True, False]
    metadata = PLAIN | {"attention.sliding_window": 512, "attention.sliding_window_pattern": pattern}
    shape = shape_from_gguf(header("gemma3", metadata))
    assert [layer.window is None for layer in shape.layers] == [not slides for slides in pattern]


def test_a_window_that_llama_cpp_ignores_is_said() -> None:
    shape = shape_from_gguf(header("llama", PLAIN | {"attention.sliding_window": 1024}))
    assert all(layer.window is None for layer in shape.layers)
    assert any("1024" in note for note in shape.notes)


def test_recurrent_layers_keep_a_state() -> None:
    ssm = {"ssm.inner_size": 1024, "ssm.state_size": 16, "ssm.conv_kernel": 4, "ssm.group_count": 1}
    shape = shape_from_gguf(header("granitehybrid", PLAIN | ssm | {"attention.head_count_kv": [0, 0, 0, 0, 0, 2]}))
    assert shape.state_bytes == 5 * 4 * (3 * (1024 + 32) + 16 * 1024)
    assert shape.notes


def test_experts_are_counted() -> None:
    shape = shape_from_gguf(header("qwen3moe", PLAIN | {"expert_count": 64, "expert_used_count": 8}))
    assert (shape.n_experts, shape.n_experts_used) == (64, 8)


@pytest.mark.parametrize(
    "changes",
    [
        {"block_count": 0},
        {"block_count": 1 << 40},
        {"block_count": "six"},
        {"block_count": -1},
        {"embedding_length": 0},
        {"embedding_length": 1 << 60},
        {"attention.head_count": "eight"},
        {"attention.head_count_kv": [1, 2]},
        {"attention.head_count_kv": ["a"] * 6},
        {"attention.head_count_kv": ArraySummary("u32", 5000)},
        {"context_length": 1.5},
    ],
)
def test_impossible_headers_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError):
        shape_from_gguf(header("llama", PLAIN | changes))


def test_a_file_without_a_model_is_refused() -> None:
    with pytest.raises(ModelFileError, match="no language model"):
        shape_from_gguf(header("clip", {}))


def test_only_the_largest_exaone_slides() -> None:
    assert sliding_layers("exaone4", 30, 4096, None)[0] == [None] * 30
    assert sliding_layers("exaone4", 64, 4096, None)[0].count(None) == 16


@pytest.mark.parametrize(
    ("architecture", "causal", "encodes"),
    [
        ("bert", None, True),
        ("nomic-bert", None, True),
        ("llama", False, True),
        ("llama", True, False),
        ("qwen3", None, False),
    ],
)
def test_models_that_look_ahead_are_encoders(architecture: str, causal: bool | None, encodes: bool) -> None:
    keys = PLAIN if causal is None else PLAIN | {"attention.causal": causal}
    shape = shape_from_gguf(header(architecture, keys))
    assert shape.is_encoder is encodes
    assert (len(shape.layers) == 0) is architecture.endswith("bert"), "llama.cpp keeps a cache for the others"
