"""adapter_config.json: what a GGUF adapter can say is read, everything else is refused with the reason."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edgellm.errors import CheckpointError, EdgeLLMError, UnsupportedError
from edgellm_converters.lora.config import parse_config
from peft_parts import CONFIG


def test_a_plain_lora_is_read() -> None:
    config = parse_config(CONFIG)
    assert (config.rank, config.alpha, config.base) == (4, 16.0, "example/tiny")
    assert config.effective_alpha("model.layers.0.self_attn.q_proj", 4) == 16.0


def test_what_old_versions_of_peft_leave_out_has_its_default() -> None:
    config = parse_config({"peft_type": "LORA", "r": 8, "lora_alpha": 32.5})
    assert config.effective_alpha("any", 8) == 32.5


def test_rank_stabilized_scales_by_the_root() -> None:
    config = parse_config(CONFIG | {"use_rslora": True, "r": 16})
    assert config.effective_alpha("any", 9) / 9 == pytest.approx(16 / math.sqrt(9))


def test_alpha_patterns_match_the_end_of_a_name_and_the_first_one_counts() -> None:
    config = parse_config(CONFIG | {"alpha_pattern": {"layers.1.self_attn.q_proj": 2, "q_proj": 4, "proj": 8}})
    assert config.effective_alpha("model.layers.1.self_attn.q_proj", 4) == 2
    assert config.effective_alpha("model.layers.0.self_attn.q_proj", 4) == 4
    assert config.effective_alpha("model.layers.11.self_attn.q_proj", 4) == 4
    assert config.effective_alpha("model.layers.0.self_attn.k_proj", 4) == 16


@pytest.mark.parametrize("path", ["/home/me/model", "../model", "C:\\model", "a/b/c", "x" * 200, "\x1b[31m", "ü"])
def test_a_path_of_the_training_machine_is_not_passed_on(path: str) -> None:
    assert parse_config(CONFIG | {"base_model_name_or_path": path}).base == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING"),
        ({"peft_type": None}, "none"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases"),
        ({"bias": "lora_only"}, "biases"),
        ({"lora_bias": True}, "lora_bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "layer_replication"),
        ({"use_qalora": True}, "QALoRA"),
        ({"alora_invocation_tokens": [5]}, "activated LoRA"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4"),
        ({"init_lora_weights": "olora"}, "olora"),
        ({"init_lora_weights": "loftq"}, "loftq"),
        ({"alpha_pattern": {"(a+)+$": 2}}, "regular expression"),
        ({"alpha_pattern": {"layers.[0-9].q_proj": 2}}, "regular expression"),
    ],
)
def test_what_a_gguf_adapter_cannot_say_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UnsupportedError, match=said) as caught:
        parse_config(CONFIG | change)
    assert caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"r": 0},
        {"r": "8"},
        {"r": True},
        {"r": None},
        {"r": 1 << 30},
        {"lora_alpha": 0},
        {"lora_alpha": -1},
        {"lora_alpha": float("nan")},
        {"lora_alpha": None},
        {"use_rslora": "yes"},
        {"rank_pattern": [1]},
        {"alpha_pattern": "x"},
        {"alpha_pattern": {"q_proj": 0}},
        {"alpha_pattern": {"q_proj": None}},
        {"peft_type": 5},
        {"bias": 5},
        {"base_model_name_or_path": 5},
    ],
)
def test_impossible_values_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EdgeLLMError) as caught:
        parse_config(CONFIG | change)
    assert isinstance(caught.value, CheckpointError)
    assert caught.value.hint == "download the adapter again"
