"""Shapes of well-known models from their published hyper-parameters, quantized the way llama-quantize does it."""

from __future__ import annotations

from functools import cache

from edgellm.devices.model import AttentionLayer, ModelShape, TensorShape
from edgellm.formats.ggml_types import row_bytes

MODELS = {  # hidden, layers, heads, kv heads, head size, feed-forward, vocabulary, tied, trained context
    "smollm2-135m": (576, 30, 9, 3, 64, 1536, 49152, True, 8192),
    "smollm2-360m": (960, 32, 15, 5, 64, 2560, 49152, True, 8192),
    "qwen2.5-0.5b": (896, 24, 14, 2, 64, 4864, 151936, True, 32768),
    "tinyllama-1.1b": (2048, 22, 32, 4, 64, 5632, 32000, False, 2048),
    "llama3.2-1b": (2048, 16, 32, 8, 64, 8192, 128256, True, 131072),
    "qwen2.5-1.5b": (1536, 28, 12, 2, 128, 8960, 151936, True, 32768),
    "qwen3-1.7b": (2048, 28, 16, 8, 128, 6144, 151936, True, 40960),
    "llama3.2-3b": (3072, 28, 24, 8, 128, 8192, 128256, True, 131072),
    "phi3-mini": (3072, 32, 32, 32, 96, 8192, 32064, False, 4096),
    "llama3.1-8b": (4096, 32, 32, 8, 128, 14336, 128256, False, 131072),
    "qwen2.5-14b": (5120, 48, 40, 8, 128, 13824, 152064, False, 32768),
    "llama3.1-70b": (8192, 80, 64, 8, 128, 28672, 128256, False, 131072),
}
# Base type, and the type of half of attn_v and ffn_down, and of the output matrix (or the tied embedding).
_MIXES = {
    "F16": ("F16", "F16", "F16"),
    "Q8_0": ("Q8_0", "Q8_0", "Q8_0"),
    "Q6_K": ("Q6_K", "Q6_K", "Q6_K"),
    "Q5_K_M": ("Q5_K", "Q6_K", "Q6_K"),
    "Q4_K_M": ("Q4_K", "Q6_K", "Q6_K"),
    "Q4_K_S": ("Q4_K", "Q4_K", "Q6_K"),
    "Q4_0": ("Q4_0", "Q4_0", "Q6_K"),
    "IQ4_XS": ("IQ4_XS", "IQ4_XS", "Q6_K"),
    "Q3_K_M": ("Q3_K", "Q5_K", "Q6_K"),
    "Q2_K": ("Q2_K", "Q3_K", "Q6_K"),
}
_ODD_ROWS = {"Q6_K": "Q8_0", "Q5_K": "Q5_1", "Q4_K": "Q5_0", "Q3_K": "IQ4_NL", "Q2_K": "IQ4_NL", "IQ4_XS": "IQ4_NL"}
RECIPES = tuple(_MIXES)


@cache
def make_shape(model: str, recipe: str) -> ModelShape:
    """The shape of ``model`` as ``recipe``."""
    hidden, n_layers, heads, kv_heads, head, ffn, vocabulary, tied, trained = MODELS[model]
    base, better, output = _MIXES[recipe]
    tensors = [_tensor("token_embd.weight", (hidden, vocabulary), output if tied else base)]
    for i in range(n_layers):
        half = better if i % 2 else base
        for name, shape, kind in (
            ("attn_q", (hidden, heads * head), base),
            ("attn_k", (hidden, kv_heads * head), base),
            ("attn_v", (hidden, kv_heads * head), half),
            ("attn_output", (heads * head, hidden), base),
            ("ffn_gate", (hidden, ffn), base),
            ("ffn_up", (hidden, ffn), base),
            ("ffn_down", (ffn, hidden), half),
        ):
            tensors.append(_tensor(f"blk.{i}.{name}.weight", shape, kind))
        tensors += [_tensor(f"blk.{i}.{n}.weight", (hidden,), "F32") for n in ("attn_norm", "ffn_norm")]
    tensors.append(_tensor("output_norm.weight", (hidden,), "F32"))
    if not tied:
        tensors.append(_tensor("output.weight", (hidden, vocabulary), output))
    return ModelShape(
        architecture="llama",
        n_embd=hidden,
        n_vocab=vocabulary,
        n_heads=heads,
        context_length=trained,
        layers=(AttentionLayer(kv_heads, head, head),) * n_layers,
        tensors=tuple(tensors),
        recipe=recipe,
    )


def candidates(model: str) -> dict[str, ModelShape]:
    """Every recipe of ``model``."""
    return {recipe: make_shape(model, recipe) for recipe in RECIPES}


def _tensor(name: str, shape: tuple[int, ...], kind: str) -> TensorShape:
    if shape[0] % 256:
        kind = _ODD_ROWS.get(kind, kind)
    rows = 1
    for length in shape[1:]:
        rows *= length
    return TensorShape(name, kind, shape, rows * row_bytes(kind, shape[0]))
