"""The tensors of a decoder, family by family the same but for biases, head norms and the rotary permutation."""

from __future__ import annotations

from dataclasses import dataclass

from edgellm_converters.arch.hyper import Hyper
from edgellm_converters.arch.plan import TensorPlan
from edgellm_converters.arch.rope import llama3_factors

__all__ = ["MATRICES", "DecoderParts", "decoder_tensors"]

MATRICES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""The matrices of a layer: GGUF name (blk.N.*) -> module in the checkpoint (model.layers.N.*)."""


@dataclass(frozen=True)
class DecoderParts:
    """What a family has besides the common tensors."""

    permute: bool = False  # q and k need the rotary permutation
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    head_norms: bool = False  # an RMS norm over each head of q and k


def decoder_tensors(hyper: Hyper, parts: DecoderParts, *, has_head: bool) -> list[TensorPlan]:
    """Every tensor of the GGUF. ``has_head``: the output matrix is a tensor of its own, not the embedding."""
    plans = [
        TensorPlan("token_embd.weight", (hyper.n_embd, hyper.n_vocab), "model.embed_tokens.weight"),
        TensorPlan("output_norm.weight", (hyper.n_embd,), "model.norm.weight"),
    ]
    if has_head:
        plans.append(TensorPlan("output.weight", (hyper.n_embd, hyper.n_vocab), "lm_head.weight"))
    if hyper.rope.kind == "llama3":
        factors = llama3_factors(hyper.rope, hyper.head_dim)
        plans.append(TensorPlan("rope_freqs.weight", (len(factors),), values=factors))
    for layer in range(hyper.n_layers):
        plans += _attention(hyper, parts, layer)
        plans += _feed_forward(hyper, parts, layer)
    return plans


def _attention(hyper: Hyper, parts: DecoderParts, layer: int) -> list[TensorPlan]:
    target, source = f"blk.{layer}.", f"model.layers.{layer}."
    q_rows, kv_rows = hyper.n_heads * hyper.head_dim, hyper.n_kv_heads * hyper.head_dim
    plans = [TensorPlan(f"{target}attn_norm.weight", (hyper.n_embd,), f"{source}input_layernorm.weight")]
    for letter, rows, heads in (("q", q_rows, hyper.n_heads), ("k", kv_rows, hyper.n_kv_heads), ("v", kv_rows, 0)):
        heads = heads if parts.permute else 0
        name = f"{source}{MATRICES[f'attn_{letter}']}"
        plans.append(TensorPlan(f"{target}attn_{letter}.weight", (hyper.n_embd, rows), f"{name}.weight", heads))
        if parts.qkv_bias:
            plans.append(TensorPlan(f"{target}attn_{letter}.bias", (rows,), f"{name}.bias", heads))
        if parts.head_norms and letter != "v":
            norm = f"{source}self_attn.{letter}_norm.weight"
            plans.append(TensorPlan(f"{target}attn_{letter}_norm.weight", (hyper.head_dim,), norm))
    name = f"{source}{MATRICES['attn_output']}"
    plans.append(TensorPlan(f"{target}attn_output.weight", (q_rows, hyper.n_embd), f"{name}.weight"))
    if parts.output_bias:
        plans.append(TensorPlan(f"{target}attn_output.bias", (hyper.n_embd,), f"{name}.bias"))
    return plans


def _feed_forward(hyper: Hyper, parts: DecoderParts, layer: int) -> list[TensorPlan]:
    target, source = f"blk.{layer}.", f"model.layers.{layer}."
    plans = [TensorPlan(f"{target}ffn_norm.weight", (hyper.n_embd,), f"{source}post_attention_layernorm.weight")]
    for part, columns, rows in (
        ("gate", hyper.n_embd, hyper.n_ff),
        ("up", hyper.n_embd, hyper.n_ff),
        ("down", hyper.n_ff, hyper.n_embd),
    ):
        name = f"{source}{MATRICES[f'ffn_{part}']}"
        plans.append(TensorPlan(f"{target}ffn_{part}.weight", (columns, rows), f"{name}.weight"))
        if parts.mlp_bias:
            plans.append(TensorPlan(f"{target}ffn_{part}.bias", (rows,), f"{name}.bias"))
    return plans
