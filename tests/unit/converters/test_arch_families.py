"""Families: what config.json means, which tensors a checkpoint must have, what is refused and how."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint_maker import CONFIG, make, tensors_of
from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.arch import MODEL_TYPES, Hyper, get_family
from edgellm_converters.arch.rope import Rope, llama3_factors
from edgellm_converters.checkpoint import open_checkpoint

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
}


def config_of(model_type: str, **changes: Any) -> dict[str, Any]:
    return CONFIG | {"model_type": model_type, "architectures": [ARCHITECTURES[model_type]]} | changes


def parse(model_type: str, **changes: Any) -> Hyper:
    config = config_of(model_type, **changes)
    return get_family(config).parse(config)


def metadata(model_type: str, **changes: Any) -> dict[str, Any]:
    config = config_of(model_type, **changes)
    family = get_family(config)
    return {key: value for key, value, _ in family.gguf_metadata(family.parse(config))}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_family_takes_a_complete_checkpoint(tmp_path: Path, model_type: str) -> None:
    config = config_of(model_type, head_dim=16)
    make(tmp_path, config)
    with open_checkpoint(tmp_path) as checkpoint:
        family = get_family(checkpoint.config)
        plans = family.tensors(family.parse(checkpoint.config), checkpoint)
    assert {plan.source for plan in plans} == set(tensors_of(config))
    assert [plan.name for plan in plans[:2]] == ["output_norm.weight", "token_embd.weight"]
    permuted = {plan.name for plan in plans if plan.heads}
    assert bool(permuted) == (model_type in ("llama", "mistral", "smollm3"))


def test_an_unknown_architecture_names_the_supported_ones() -> None:
    with pytest.raises(UnsupportedError, match="GPTNeoX") as caught:
        get_family({"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]})
    assert all(name in (caught.value.hint or "") for name in MODEL_TYPES)


@pytest.mark.parametrize("config", [{}, {"model_type": 3}, {"model_type": "../llama"}, {"model_type": None}])
def test_a_model_type_that_is_no_name_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError):
        get_family(config)


def test_a_classifier_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="LlamaForSequenceClassification"):
        get_family(config_of("llama", architectures=["LlamaForSequenceClassification"]))


def test_missing_and_unexpected_tensors_are_named(tmp_path: Path) -> None:
    weights = tensors_of(CONFIG)
    del weights["model.layers.1.mlp.up_proj.weight"]
    make(tmp_path, tensors=weights)
    with open_checkpoint(tmp_path) as checkpoint:
        family = get_family(checkpoint.config)
        with pytest.raises(CheckpointError, match=r"lacks the tensors model\.layers\.1\.mlp\.up_proj\.weight"):
            family.tensors(family.parse(checkpoint.config), checkpoint)
    make(tmp_path, tensors=tensors_of(CONFIG) | {"model.extra.weight": np.ones((2, 2), np.float32)})
    with open_checkpoint(tmp_path) as checkpoint, pytest.raises(CheckpointError, match=r"model\.extra\.weight"):
        family.tensors(family.parse(checkpoint.config), checkpoint)


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    weights = tensors_of(CONFIG) | {"model.norm.weight": np.ones(63, np.float32)}
    make(tmp_path, tensors=weights)
    with open_checkpoint(tmp_path) as checkpoint:
        family = get_family(checkpoint.config)
        with pytest.raises(CheckpointError, match=r"model\.norm\.weight \[63\] \(config\.json implies \[64\]\)"):
            family.tensors(family.parse(checkpoint.config), checkpoint)


def test_rotary_buffers_of_old_checkpoints_are_ignored(tmp_path: Path) -> None:
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32)}
    make(tmp_path, tensors=tensors_of(CONFIG) | buffer)
    with open_checkpoint(tmp_path) as checkpoint:
        family = get_family(checkpoint.config)
        assert family.tensors(family.parse(checkpoint.config), checkpoint)


def test_an_untied_model_needs_its_head(tmp_path: Path) -> None:
    make(tmp_path, CONFIG | {"tie_word_embeddings": False}, tensors=tensors_of(CONFIG))
    with open_checkpoint(tmp_path) as checkpoint:
        family = get_family(checkpoint.config)
        with pytest.raises(CheckpointError, match=r"lm_head\.weight"):
            family.tensors(family.parse(checkpoint.config), checkpoint)


def test_a_sliding_window_caps_the_exact_context() -> None:
    assert parse("mistral", sliding_window=48).exact_context_length == 48
    assert parse("mistral", sliding_window=None).exact_context_length == 128
    assert parse("mistral", sliding_window=4096).exact_context_length == 128
    assert metadata("mistral", sliding_window=48)["llama.context_length"] == 128


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 128),
        ({"sliding_window": 32}, 128),
        ({"use_sliding_window": True, "sliding_window": 32, "max_window_layers": 1}, 32),
        ({"use_sliding_window": True, "sliding_window": 32, "max_window_layers": 2}, 128),
        ({"use_sliding_window": True, "sliding_window": 32, "layer_types": ["full_attention"] * 2}, 128),
        (
            {"use_sliding_window": True, "sliding_window": 32, "layer_types": ["full_attention", "sliding_attention"]},
            32,
        ),
    ],
)
def test_qwen_windows_count_only_where_a_layer_uses_them(changes: dict[str, Any], expected: int) -> None:
    assert parse("qwen2", **changes).exact_context_length == expected
    assert parse("qwen3", head_dim=16, **changes).exact_context_length == expected


def test_both_ways_of_writing_rope_are_read() -> None:
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    old = parse("llama", rope_theta=5e5, rope_scaling=scaling)
    older = parse("llama", rope_theta=5e5, rope_scaling={"type": "yarn"} | {k: scaling[k] for k in list(scaling)[1:]})
    new = parse("llama", rope_parameters=scaling | {"rope_theta": 5e5})
    assert old == new == older
    assert old.rope == Rope(5e5, "yarn", 4.0, 32)
    assert parse("llama", rope_scaling=None).rope == Rope(10000.0)
    assert parse("smollm3").rope.theta == 2e6


def test_yarn_attention_factor_is_relative_to_the_paper() -> None:
    section = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    usual = 0.1 * math.log(4.0) + 1.0
    assert "llama.rope.scaling.attn_factor" not in metadata("llama", rope_scaling=section)
    same = metadata("llama", rope_scaling=section | {"attention_factor": usual})
    assert "llama.rope.scaling.attn_factor" not in same
    found = metadata("llama", rope_scaling=section | {"attention_factor": 1.5})["llama.rope.scaling.attn_factor"]
    assert found == pytest.approx(1.5 / usual)


def test_llama3_factors_leave_short_wavelengths_alone() -> None:
    factors = llama3_factors(Rope(500000.0, "llama3", 8.0, 8192, low_freq_factor=1.0, high_freq_factor=4.0), 64)
    assert len(factors) == 32
    assert factors[0] == 1.0
    assert factors[-1] == 8.0
    assert list(factors) == sorted(factors)


UNSUPPORTED = {
    "dynamic rope": ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
    "longrope": ("llama", {"rope_scaling": {"type": "longrope"}}),
    "other yarn betas": ("llama", {"rope_scaling": {"type": "yarn", "factor": 2.0, "beta_fast": 16}}),
    "untruncated yarn": ("llama", {"rope_scaling": {"type": "yarn", "factor": 2.0, "truncate": False}}),
    "partial rotation": ("llama", {"partial_rotary_factor": 0.5}),
    "gelu": ("llama", {"hidden_act": "gelu"}),
    "llama3 rope for qwen2": ("qwen2", {"rope_scaling": {"type": "llama3", "factor": 8.0}}),
    "head_dim of qwen2": ("qwen2", {"head_dim": 32}),
    "rope layers of smollm3": ("smollm3", {"no_rope_layers": [0, 1]}),
    "rope interval of smollm3": ("smollm3", {"no_rope_layer_interval": 2}),
}
IMPOSSIBLE = {
    "no layers": ("llama", {"num_hidden_layers": 0}),
    "a million layers": ("llama", {"num_hidden_layers": 10**6}),
    "no hidden size": ("llama", {"hidden_size": None}),
    "hidden size as text": ("llama", {"hidden_size": "64"}),
    "heads that do not share": ("llama", {"num_key_value_heads": 3}),
    "heads that do not divide": ("llama", {"num_attention_heads": 6, "num_key_value_heads": 6}),
    "odd head_dim": ("llama", {"head_dim": 15}),
    "huge head_dim": ("llama", {"head_dim": 1 << 30}),
    "negative epsilon": ("llama", {"rms_norm_eps": -1.0}),
    "infinite theta": ("llama", {"rope_theta": math.inf}),
    "llama3 bounds crossed": (
        "llama",
        {"rope_scaling": {"type": "llama3", "low_freq_factor": 4, "high_freq_factor": 1}},
    ),
    "linear without a factor": ("llama", {"rope_scaling": {"type": "linear"}}),
}


@pytest.mark.parametrize(("model_type", "changes"), UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_what_llama_cpp_cannot_compute_is_refused(model_type: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError):
        parse(model_type, **changes)


@pytest.mark.parametrize(("model_type", "changes"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_impossible_numbers_are_refused(model_type: str, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        parse(model_type, **changes)


@pytest.mark.parametrize(("model_type", "key"), [("qwen3", "attention_bias"), ("smollm3", "mlp_bias")])
def test_biases_that_llama_cpp_lacks_are_refused(tmp_path: Path, model_type: str, key: str) -> None:
    config = config_of(model_type, head_dim=16)
    make(tmp_path, config | {key: True}, tensors=tensors_of(config))
    with open_checkpoint(tmp_path) as checkpoint:
        family = get_family(checkpoint.config)
        with pytest.raises(UnsupportedError, match=r"bias"):
            family.tensors(family.parse(checkpoint.config), checkpoint)
