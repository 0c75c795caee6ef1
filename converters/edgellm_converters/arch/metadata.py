"""Hyper-parameters as GGUF keys, named as llama.cpp's converter names them."""

from __future__ import annotations

from edgellm_converters.arch.hyper import Hyper
from edgellm_converters.arch.rope import Rope, attention_correction

__all__ = ["MetadataEntry", "decoder_metadata"]

MetadataValue = str | int | float | bool | list[str] | list[int] | list[float]
MetadataEntry = tuple[str, MetadataValue, str]
"""Key, value and GGUF value type: "str", "u32", "i32", "f32", "bool", "arr[str]", "arr[i32]", "arr[f32]"."""


def decoder_metadata(hyper: Hyper, *, llama_keys: bool) -> list[MetadataEntry]:
    """The keys under the architecture's own prefix."""
    prefix = hyper.architecture
    entries: list[MetadataEntry] = [
        (f"{prefix}.block_count", hyper.n_layers, "u32"),
        (f"{prefix}.context_length", hyper.context_length, "u32"),
        (f"{prefix}.embedding_length", hyper.n_embd, "u32"),
        (f"{prefix}.feed_forward_length", hyper.n_ff, "u32"),
        (f"{prefix}.attention.head_count", hyper.n_heads, "u32"),
        (f"{prefix}.attention.head_count_kv", hyper.n_kv_heads, "u32"),
    ]
    if not hyper.is_causal:
        entries.append((f"{prefix}.attention.causal", False, "bool"))
    entries += _rope(prefix, hyper.rope)
    entries.append((f"{prefix}.attention.layer_norm_rms_epsilon", hyper.rms_eps, "f32"))
    if hyper.head_dim_given:
        entries.append((f"{prefix}.attention.key_length", hyper.head_dim, "u32"))
        entries.append((f"{prefix}.attention.value_length", hyper.head_dim, "u32"))
    if llama_keys:
        entries.append((f"{prefix}.vocab_size", hyper.n_vocab, "u32"))
        entries.append((f"{prefix}.rope.dimension_count", hyper.head_dim, "u32"))
    return entries


def _rope(prefix: str, rope: Rope) -> list[MetadataEntry]:
    scaling = f"{prefix}.rope.scaling"
    entries: list[MetadataEntry] = []
    if rope.kind in ("linear", "yarn"):
        entries += [(f"{scaling}.type", rope.kind, "str"), (f"{scaling}.factor", rope.factor, "f32")]
    if rope.kind == "yarn":
        entries.append((f"{scaling}.original_context_length", rope.original_context, "u32"))
        for key, value in (
            ("yarn_attn_factor", rope.explicit_attention_factor),
            ("attn_factor", attention_correction(rope)),
            ("yarn_beta_fast", rope.beta_fast),
            ("yarn_beta_slow", rope.beta_slow),
        ):
            if value is not None:
                entries.append((f"{scaling}.{key}", value, "f32"))
    entries.append((f"{prefix}.rope.freq_base", rope.theta, "f32"))
    return entries
