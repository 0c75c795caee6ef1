"""adapter_config.json of PEFT: what kind of adapter it is, and how strongly each module counts.

Fields and their meaning: https://huggingface.co/docs/peft/package_reference/lora. What a GGUF adapter cannot say is
refused here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgellm.errors import UnsupportedError
from edgellm_converters.arch.config import Config

__all__ = ["LoraConfig", "parse_config"]

_WHERE = "adapter_config.json"
_DOWNLOAD = "download the adapter again"
_MERGE = "merge it into its base model with PEFT, merge_and_unload().save_pretrained(FOLDER), and pack that folder"
_RANK_LIMIT = 1 << 20
_INITIAL = (True, False, None, "gaussian", "eva", "orthogonal")  # ways to begin that leave the base model as it is
_PLAIN_NAME = re.compile(r"\w+(?:\.\w+)*")
# Truthy fields that make something else of the adapter than a product of two matrices added to a weight.
_OTHER_KINDS = {
    "use_dora": "it is a DoRA: its magnitudes cannot be expressed in a GGUF adapter",
    "use_qalora": "it is a QALoRA: its matrices do not have the shape of the weights",
    "use_bdlora": "its matrices are block-diagonal (use_bdlora)",
    "lora_bias": "it has biases of its own (lora_bias)",
    "modules_to_save": "it also replaces whole modules (modules_to_save)",
    "trainable_token_indices": "it also replaces rows of the embedding table (trainable_token_indices)",
    "layer_replication": "it repeats layers of the base model (layer_replication)",
    "alora_invocation_tokens": "it is an activated LoRA, which starts to count in the middle of a prompt",
}


@dataclass(frozen=True)
class LoraConfig:
    """What adapter_config.json says. A module's weight gains ``effective_alpha(module, rank) / rank * B @ A``."""

    rank: int
    alpha: float
    by_root: bool  # rsLoRA: the scale is alpha / sqrt(rank)
    has_rank_pattern: bool  # some modules have another rank: their tensors say which
    alpha_pattern: Mapping[str, float]  # module name, or its last parts -> alpha
    base: str  # the base model, as the training script called it; empty for a path of its machine

    def effective_alpha(self, module: str, rank: int) -> float:
        """What the rank divides: lora_alpha, and of an rsLoRA that times the root of the rank."""
        alpha = self.alpha
        for name, value in self.alpha_pattern.items():
            if module == name or module.endswith(f".{name}"):
                alpha = value
                break  # the first one counts, as in peft.utils.get_pattern_key
        return alpha * math.sqrt(rank) if self.by_root else alpha


def parse_config(values: dict[str, Any]) -> LoraConfig:
    """Read and check a config.

    Raises UnsupportedError for every kind that is not a plain or rank-stabilized LoRA, CheckpointError for impossible
    values.
    """
    config = Config(values, _WHERE, _DOWNLOAD)
    _refuse_other_kinds(config, values)
    rank = config.integer("r")
    if rank > _RANK_LIMIT:
        raise config.error("r", f"at most {_RANK_LIMIT}")
    pattern = values.get("rank_pattern")
    if not isinstance(pattern, dict | None):
        raise config.error("rank_pattern", "an object")
    base = config.text("base_model_name_or_path", "")
    return LoraConfig(
        rank=rank,
        alpha=config.number("lora_alpha"),
        by_root=config.flag("use_rslora"),
        has_rank_pattern=bool(pattern),
        alpha_pattern=_alpha_pattern(config, values.get("alpha_pattern")),
        base=base if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}(?:/[\w.-]{1,96})?", base, re.ASCII) else "",
    )


def _refuse_other_kinds(config: Config, values: dict[str, Any]) -> None:
    kind = config.text("peft_type", "")
    if kind.upper() != "LORA":
        raise UnsupportedError(
            f"the adapter is of PEFT's type {kind[:40] or '(none)'!r}; LoRA adapters are supported", hint=_MERGE
        )
    for key, what in _OTHER_KINDS.items():
        if values.get(key):
            raise UnsupportedError(f"the adapter cannot be applied beside its model: {what}", hint=_MERGE)
    bias = config.text("bias", "none")
    if bias != "none":
        raise UnsupportedError(f"the adapter also changes biases of the base model (bias: {bias[:40]!r})", hint=_MERGE)
    initial = values.get("init_lora_weights", True)
    if initial not in _INITIAL:
        raise UnsupportedError(
            f"the adapter was begun as {str(initial)[:40]!r}, which changes the base model's own weights",
            hint="save it as a plain LoRA: save_pretrained(..., path_initial_model_for_weight_conversion=...) of PEFT",
        )


def _alpha_pattern(config: Config, pattern: object) -> dict[str, float]:
    if pattern is None:
        return {}
    if not isinstance(pattern, dict):
        raise config.error("alpha_pattern", "an object")
    numbers = Config(pattern, f"{_WHERE}: alpha_pattern", _DOWNLOAD)
    for name in pattern:
        # PEFT takes any regular expression; one from a file that nobody trusts may never come to an end.
        if _PLAIN_NAME.fullmatch(name) is None:
            raise UnsupportedError(
                f"alpha_pattern in {_WHERE} has the regular expression {name[:80]!r}",
                hint="write out the names of the modules, such as layers.0.self_attn.q_proj",
            )
    return {name: numbers.number(name) for name in pattern}
