"""Small checkpoints with random weights, and ways to damage them."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4}

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "vocab_size": 40,
    "tie_word_embeddings": True,
}


@dataclass
class StandInVocabulary:
    """As much of a vocabulary as the writer asks for."""

    n_tokens: int = 40
    metadata: list[tuple[str, Any, str]] = field(
        default_factory=lambda: [
            ("tokenizer.ggml.model", "gpt2", "str"),
            ("tokenizer.ggml.tokens", ["a", "b", "ü"], "arr[str]"),
            ("tokenizer.ggml.token_type", [1, 1, 3], "arr[i32]"),
        ]
    )


def tensors_of(config: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Random float32 weights for ``config``, named as transformers names them."""
    rng = np.random.default_rng(seed)
    hidden, ff = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim", hidden // config["num_attention_heads"])
    q, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
    }
    if not config.get("tie_word_embeddings"):
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, shape in {"q": (q, hidden), "k": (kv, hidden), "v": (kv, hidden), "o": (hidden, q)}.items():
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = shape
            if config.get("attention_bias") or (config["model_type"] == "qwen2" and name != "o"):
                shapes[f"{prefix}self_attn.{name}_proj.bias"] = shape[:1]
        if config["model_type"] == "qwen3":
            shapes |= {f"{prefix}self_attn.{name}_norm.weight": (head,) for name in "qk"}
        for name, shape in {"gate": (ff, hidden), "up": (ff, hidden), "down": (hidden, ff)}.items():
            shapes[f"{prefix}mlp.{name}_proj.weight"] = shape
        shapes |= {f"{prefix}{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def encode(values: np.ndarray, dtype: str) -> bytes:
    """float32 -> bytes of a safetensors dtype; BF16 by cutting off the lower half."""
    if dtype == "BF16":
        return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.astype({"F16": np.float16, "F32": np.float32}[dtype]).tobytes()


def decode(data: bytes, dtype: str) -> np.ndarray:
    """Bytes of a tensor -> float32."""
    if dtype == "BF16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"F16": np.float16, "F32": np.float32}[dtype]).astype(np.float32)


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], dtypes: dict[str, str] | str = "F32") -> None:
    """One file, tensors one after the other."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, values in tensors.items():
        dtype = dtypes if isinstance(dtypes, str) else dtypes[name]
        raw = encode(values, dtype)
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    raw_header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw_header)) + raw_header + data)


def make(
    folder: Path,
    config: dict[str, Any] | None = None,
    *,
    dtype: dict[str, str] | str = "F32",
    shards: int = 1,
    tensors: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Write a checkpoint into ``folder``; returns its weights in float32."""
    config = CONFIG if config is None else config
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = tensors_of(config) if tensors is None else tensors
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype)
        return tensors
    names = list(tensors)
    weight_map = {}
    for shard in range(shards):
        file_name = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        group = names[shard::shards]
        write_safetensors(folder / file_name, {name: tensors[name] for name in group}, dtype)
        weight_map |= dict.fromkeys(group, file_name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return tensors
