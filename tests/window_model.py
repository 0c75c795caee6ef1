"""A small model with a sliding window in most of its layers (gemma3), random weights and another file's vocabulary."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WINDOW = 32

_HIDDEN, _LAYERS, _HEADS, _KV_HEADS, _HEAD, _FFN = 64, 12, 4, 1, 16, 128


def write_window_model(path: Path, vocabulary_of: Path) -> None:
    """Write the model to ``path``."""
    source = gguf.GGUFReader(vocabulary_of)
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_context_length(4096)
    writer.add_embedding_length(_HIDDEN)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FFN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_key_length(_HEAD)
    writer.add_value_length(_HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_sliding_window(WINDOW)
    for field in source.fields.values():
        if field.name.startswith("tokenizer.") and field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(field.name, field.contents())
        elif field.name.startswith("tokenizer."):
            writer.add_key_value(field.name, field.contents(), field.types[0])
    for name, shape in _tensors(len(source.fields["tokenizer.ggml.tokens"].data)).items():
        values = np.random.default_rng(len(name)).standard_normal(shape) * 0.08
        writer.add_tensor(name, (np.ones(shape) if "norm" in name else values).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(n_vocab: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (n_vocab, _HIDDEN), "output_norm.weight": (_HIDDEN,)}
    of_layer = {
        **dict.fromkeys(("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"), (_HIDDEN,)),
        **dict.fromkeys(("attn_q_norm", "attn_k_norm"), (_HEAD,)),
        **dict.fromkeys(("attn_k", "attn_v"), (_KV_HEADS * _HEAD, _HIDDEN)),
        "attn_q": (_HEADS * _HEAD, _HIDDEN),
        "attn_output": (_HIDDEN, _HEADS * _HEAD),
        **dict.fromkeys(("ffn_gate", "ffn_up"), (_FFN, _HIDDEN)),
        "ffn_down": (_HIDDEN, _FFN),
    }
    for layer in range(_LAYERS):
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    return shapes
