"""BERT, MiniLM, BGE, E5, GTE and everything else that transformers loads as ``bert``."""

from __future__ import annotations

from edgellm_converters.arch.config import Config
from edgellm_converters.arch.encoder import EncoderFamily, EncoderHyper, parse_encoder
from edgellm_converters.arch.plan import TensorPlan

__all__ = ["FAMILY"]

_LAYER = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}
"""The modules of a layer: GGUF name (blk.N.*) -> name in the checkpoint (encoder.layer.N.*)."""


def _parse(config: Config) -> EncoderHyper:
    return parse_encoder(config, "bert")


def _tensors(hyper: EncoderHyper) -> list[TensorPlan]:
    width = hyper.n_embd
    tables = {
        "token_embd.weight": (hyper.n_vocab, "word_embeddings"),
        "position_embd.weight": (hyper.n_positions, "position_embeddings"),
        "token_types.weight": (hyper.n_token_types, "token_type_embeddings"),
    }
    plans = [TensorPlan(name, (width, rows), f"embeddings.{source}.weight") for name, (rows, source) in tables.items()]
    plans += [TensorPlan(f"token_embd_norm.{part}", (width,), f"embeddings.LayerNorm.{part}") for part in _PARTS]
    for layer in range(hyper.n_layers):
        for role, module in _LAYER.items():
            rows = hyper.n_ff if role == "ffn_up" else width
            columns = hyper.n_ff if role == "ffn_down" else width
            for part in _PARTS:
                is_matrix = part == "weight" and not role.endswith("_norm")
                shape = (columns, rows) if is_matrix else (rows,)
                plans.append(TensorPlan(f"blk.{layer}.{role}.{part}", shape, f"encoder.layer.{layer}.{module}.{part}"))
    return plans


_PARTS = ("weight", "bias")

FAMILY = EncoderFamily(
    "bert",
    ("BertModel", "BertForMaskedLM", "BertForPreTraining"),
    _parse,
    _tensors,
    prefix="bert.",
    heads=("pooler.", "cls.", "embeddings.position_ids"),
)
