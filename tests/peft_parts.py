"""Random PEFT adapters for a checkpoint, and the checkpoint that they stand for: its weights with them merged in."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from checkpoint_maker import decode, write_safetensors
from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.gguf import GeneralMetadata
from edgellm_converters.lora import base_of_checkpoint, fit_peft, open_peft

CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "example/tiny",
    "r": 4,
    "lora_alpha": 16,
    "target_modules": ["q_proj", "k_proj"],
    "bias": "none",
    "fan_in_fan_out": False,
    "init_lora_weights": True,
    "modules_to_save": None,
    "use_rslora": False,
    "use_dora": False,
    "rank_pattern": {},
    "alpha_pattern": {},
}
FAMILIES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
}  # model_type: architecture
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def write_adapter(adapter: Path, folder: Path, target: Path) -> Path:
    """The PEFT adapter as GGUF, for the checkpoint in ``folder``."""
    with open_checkpoint(folder) as checkpoint, target.open("wb") as sink:
        opened = open_peft(adapter)
        fitted = fit_peft(opened, base_of_checkpoint(checkpoint), GeneralMetadata("x"))
        fitted.write(sink, threads=1, progress=SilentProgress(), cancel=CancelToken())
        opened.close()
    return target


def make_adapter(
    folder: Path,
    base: Mapping[str, np.ndarray],
    *,
    targets: Collection[str] = ALL_LINEAR,
    ranks: Mapping[str, int] | None = None,
    dtype: str = "F32",
    seed: int = 1,
    size: float = 0.5,
    **config: Any,
) -> dict[str, np.ndarray]:
    """Write an adapter for the modules of ``base`` whose last part is in ``targets``; returns its tensors in float32.

    ``ranks`` gives other ranks by the last part of the module. What it adds to a weight is about ``size`` times as
    large as the weight.
    """
    rng = np.random.default_rng(seed)
    settings = CONFIG | config
    tensors: dict[str, np.ndarray] = {}
    for name, weight in base.items():
        module = name.removesuffix(".weight")
        last = module.rpartition(".")[2]
        if last not in targets:
            continue
        rank = (ranks or {}).get(last, settings["r"])
        rows, columns = weight.shape
        a = rng.standard_normal((rank, columns), np.float32)
        b = rng.standard_normal((rows, rank), np.float32)
        factor = size * float(np.std(weight)) / (scaling(settings, module, rank) * math.sqrt(rank))
        prefix = f"base_model.model.{module}"
        if last == "embed_tokens":
            tensors[f"{prefix}.lora_embedding_A"] = rng.standard_normal((rank, rows), np.float32)
            tensors[f"{prefix}.lora_embedding_B"] = factor * rng.standard_normal((columns, rank), np.float32)
        else:
            tensors[f"{prefix}.lora_A.weight"], tensors[f"{prefix}.lora_B.weight"] = a, factor * b
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    write_safetensors(folder / "adapter_model.safetensors", tensors, dtype)
    return {name: rounded(values, dtype) for name, values in tensors.items()}


def scaling(config: Mapping[str, Any], module: str, rank: int) -> float:
    """PEFT's factor of one module."""
    patterns = config.get("alpha_pattern", {})
    alpha = next((value for key, value in patterns.items() if f".{module}".endswith(f".{key}")), config["lora_alpha"])
    return float(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def merged(base: Mapping[str, np.ndarray], adapter: Mapping[str, np.ndarray], **config: Any) -> dict[str, np.ndarray]:
    """The weights of ``base`` with the adapter merged in, as PEFT's merge_and_unload does it."""
    settings = CONFIG | config
    result = dict(base)
    for name, a in adapter.items():
        if ".lora_A" not in name and ".lora_embedding_A" not in name:
            continue
        b = adapter[name.replace("_A", "_B")]
        module = name.removeprefix("base_model.model.").partition(".lora_")[0]
        product = b.astype(np.float64) @ a * scaling(settings, module, len(a))
        delta = product.T if ".lora_embedding_A" in name else product
        result[f"{module}.weight"] = (base[f"{module}.weight"] + delta).astype(np.float32)
    return result


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """What is left of float32 values after they were written as ``dtype``."""
    from checkpoint_maker import encode

    return decode(encode(values, dtype), dtype).reshape(values.shape)


def read_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    """All weights of a small checkpoint in float32."""
    from edgellm_converters.checkpoint import open_checkpoint

    with open_checkpoint(folder) as checkpoint:
        return {
            name: checkpoint.read_rows(name, 0, tensor.n_rows).reshape(tensor.shape)
            for name, tensor in checkpoint.tensors.items()
        }
