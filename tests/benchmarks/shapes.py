"""Writes a random-weight checkpoint in the shape of a known model, for benchmarks in which only sizes and types matter.

usage: python tests/benchmarks/shapes.py SHAPE FOLDER [--dtype BF16|F16|F32] [--shards N] [--seed N]

The hyper-parameters are those of the models' published config.json files. The tokenizer is that of
tests/models/tiny-llm; ids above its own are unused padding, as in checkpoints whose embedding is larger than their
vocabulary. Text that such a model generates means nothing. Memory stays bounded: a tensor is drawn and written a few
rows at a time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

TOKENIZER = Path(__file__).resolve().parent.parent / "models" / "tiny-llm"
CHUNK_VALUES = 4 << 20  # 16 MiB of float32 at a time
STANDARD_DEVIATION = 0.02
ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4}


@dataclass(frozen=True)
class Shape:
    """Hyper-parameters of a decoder, in the names of config.json where it has them."""

    model_type: str
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tied: bool
    qkv_bias: bool
    rope_theta: float
    context: int

    @property
    def architecture(self) -> str:
        return {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}[self.model_type]


SHAPES = {
    "smollm2-135m": Shape("llama", 576, 30, 9, 3, 64, 1536, 49152, True, False, 1e5, 8192),
    "smollm2-360m": Shape("llama", 960, 32, 15, 5, 64, 2560, 49152, True, False, 1e5, 8192),
    "qwen2.5-0.5b": Shape("qwen2", 896, 24, 14, 2, 64, 4864, 151936, True, True, 1e6, 32768),
    "qwen3-0.6b": Shape("qwen3", 1024, 28, 16, 8, 128, 3072, 151936, True, False, 1e6, 40960),
    "tinyllama-1.1b": Shape("llama", 2048, 22, 32, 4, 64, 5632, 32000, False, False, 1e4, 2048),
    "llama3.2-1b": Shape("llama", 2048, 16, 32, 8, 64, 8192, 128256, True, False, 5e5, 8192),
    "llama3.2-3b": Shape("llama", 3072, 28, 24, 8, 128, 8192, 128256, True, False, 5e5, 8192),
}


def tensor_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Tensor names and shapes (rows first) as transformers saves them."""
    hidden, q_rows, kv_rows = shape.hidden_size, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape.vocab_size, hidden)}
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        attention = {"q": (q_rows, hidden), "k": (kv_rows, hidden), "v": (kv_rows, hidden), "o": (hidden, q_rows)}
        for name, rows_columns in attention.items():
            tensors[f"{prefix}self_attn.{name}_proj.weight"] = rows_columns
            if shape.qkv_bias and name != "o":
                tensors[f"{prefix}self_attn.{name}_proj.bias"] = rows_columns[:1]
        if shape.model_type == "qwen3":
            tensors |= {f"{prefix}self_attn.{name}_norm.weight": (shape.head_dim,) for name in "qk"}
        tensors[f"{prefix}mlp.gate_proj.weight"] = (shape.intermediate_size, hidden)
        tensors[f"{prefix}mlp.up_proj.weight"] = (shape.intermediate_size, hidden)
        tensors[f"{prefix}mlp.down_proj.weight"] = (hidden, shape.intermediate_size)
        tensors[f"{prefix}input_layernorm.weight"] = (hidden,)
        tensors[f"{prefix}post_attention_layernorm.weight"] = (hidden,)
    tensors["model.norm.weight"] = (hidden,)
    if not shape.tied:
        tensors["lm_head.weight"] = (shape.vocab_size, hidden)
    return tensors


def encode(values: np.ndarray, dtype: str) -> bytes:
    """float32 -> little-endian bytes of a safetensors dtype; BF16 rounds to nearest, ties to even."""
    if dtype == "F32":
        return values.astype("<f4").tobytes()
    if dtype == "F16":
        return values.astype("<f2").tobytes()
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return bytes(rounded.astype("<u2").tobytes())


def random_values(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The tensor's values in pieces: norms are one, everything else is a small gaussian."""
    count = int(np.prod(shape))
    for start in range(0, count, CHUNK_VALUES):
        n = min(CHUNK_VALUES, count - start)
        if "norm" in name:
            yield np.ones(n, np.float32)
        else:
            yield rng.standard_normal(n, np.float32) * np.float32(STANDARD_DEVIATION)


def write_shard(file: BinaryIO, tensors: dict[str, tuple[int, ...]], dtype: str, rng: np.random.Generator) -> None:
    """One safetensors file: length of the header, the header, the tensors one after another."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in tensors.items():
        end = offset + int(np.prod(shape)) * ITEM_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    file.write(struct.pack("<Q", len(raw)) + raw)
    for name, shape in tensors.items():
        for piece in random_values(name, shape, rng):
            file.write(encode(piece, dtype))


def write_config(shape: Shape, folder: Path, dtype: str) -> None:
    """config.json with the tokenizer's own special ids, and the tokenizer's files beside it."""
    tokenizer_config = json.loads((TOKENIZER / "config.json").read_text(encoding="utf-8"))
    config = {
        "architectures": [shape.architecture],
        "model_type": shape.model_type,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-6,
        "rope_theta": shape.rope_theta,
        "vocab_size": shape.vocab_size,
        "tie_word_embeddings": shape.tied,
        "torch_dtype": {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[dtype],
        "bos_token_id": tokenizer_config["bos_token_id"],
        "eos_token_id": tokenizer_config["eos_token_id"],
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        shutil.copy(TOKENIZER / name, folder / name)


def write_checkpoint(shape: Shape, folder: Path, *, dtype: str = "BF16", shards: int = 1, seed: int = 0) -> int:
    """Write the checkpoint into `folder` (created when missing) and return its number of parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = tensor_shapes(shape)
    names = list(tensors)
    rng = np.random.default_rng(seed)
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        group = names[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        file_name = "model.safetensors" if shards == 1 else f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        with (folder / file_name).open("wb") as file:
            write_shard(file, {name: tensors[name] for name in group}, dtype, rng)
        weight_map |= dict.fromkeys(group, file_name)
    parameters = sum(int(np.prod(s)) for s in tensors.values())
    if shards > 1:
        index = {"metadata": {"total_size": parameters * ITEM_BYTES[dtype]}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    write_config(shape, folder, dtype)
    return parameters


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a random-weight checkpoint in the shape of a known model.")
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=sorted(ITEM_BYTES), default="BF16")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    parameters = write_checkpoint(
        SHAPES[arguments.shape],
        arguments.folder,
        dtype=arguments.dtype,
        shards=arguments.shards,
        seed=arguments.seed,
    )
    print(f"{arguments.folder}: {parameters / 1e6:.0f} M parameters")


if __name__ == "__main__":
    main()
