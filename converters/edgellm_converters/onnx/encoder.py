"""An encoder as an ONNX graph: what transformers computes, and what sentence-transformers makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgellm.formats.encoders import Pooling
from edgellm_converters.arch.encoder import EncoderHyper
from edgellm_converters.arch.plan import TensorPlan
from edgellm_converters.onnx.element_types import FLOAT, INT32, INT64
from edgellm_converters.onnx.embedding import embed
from edgellm_converters.onnx.encoding import FLOAT32, Encoding
from edgellm_converters.onnx.graph import CONTRIB, Graph
from edgellm_converters.onnx.linear import linear
from edgellm_converters.onnx.pooling import pool_texts
from edgellm_converters.onnx.weights import Weight

__all__ = ["EncoderGraph", "build_encoder"]

_QKV = ("attn_q", "attn_k", "attn_v")


@dataclass(frozen=True)
class EncoderGraph:
    """What an encoder is built from. ``encodings``: GGUF name of every matrix -> how it is stored; q, k and v are one
    matrix, ``attn_qkv``. ``pooling`` and ``normalise`` make a text's vector."""

    hyper: EncoderHyper
    plans: Mapping[str, TensorPlan]  # by GGUF name
    encodings: Mapping[str, Encoding]
    accuracy: int  # of MatMulNBits
    pooling: Pooling
    normalise: bool

    def vector(self, *names: str) -> Weight:
        """The vectors of GGUF ``names`` end to end."""
        plans = [self.plans[name] for name in names]
        length = sum(plan.shape[0] for plan in plans)
        return Weight(_joined(names), 1, length, tuple(plan.source for plan in plans), is_vector=True)

    def matrix(self, *names: str) -> Weight:
        """The matrices of GGUF ``names``, one below the other."""
        plans = [self.plans[name] for name in names]
        joined = _joined(names)
        rows = sum(plan.shape[1] for plan in plans)
        encoding = self.encodings.get(joined, FLOAT32)
        return Weight(joined, rows, plans[0].shape[0], tuple(plan.source for plan in plans), encoding)


def build_encoder(parts: EncoderGraph) -> Graph:
    """The graph.

    Inputs: ``input_ids`` and ``attention_mask``, int64 [batch, tokens], rows filled up at the end, the mask 1 where a
    row has a token. Outputs: ``token_embeddings`` float32 [batch, tokens, hidden], and ``sentence_embedding`` float32
    [batch, hidden]. All tokens are of the first type, as of a text that stands alone.
    """
    hyper = parts.hyper
    graph = Graph(hyper.architecture)
    ids = graph.input("input_ids", INT64, ["batch", "tokens"])
    mask = graph.input("attention_mask", INT64, ["batch", "tokens"])
    padding_mask = graph.node("Cast", [mask], "attention_mask.int32", to=INT32)
    states = _embeddings(graph, parts, ids)
    for layer in range(hyper.n_layers):
        output = "token_embeddings" if layer == hyper.n_layers - 1 else f"layers.{layer}.output"
        states = _layer(graph, parts, layer, states, padding_mask, output)
    graph.output("token_embeddings", FLOAT, ["batch", "tokens", hyper.n_embd])
    pool_texts(graph, states, mask, parts.pooling, normalise=parts.normalise, output="sentence_embedding")
    graph.output("sentence_embedding", FLOAT, ["batch", hyper.n_embd])
    return graph


def _embeddings(graph: Graph, parts: EncoderGraph, ids: str) -> str:
    """Words, positions and the type of the text, added up and normed."""
    words = embed(graph, ids, parts.matrix("token_embd.weight"), "embeddings.words")
    n_tokens = graph.node("Shape", [ids], "embeddings.tokens", start=1, end=2)
    zero = graph.integers([0])
    table = graph.weight(parts.matrix("position_embd.weight"))[0]
    places = graph.node("Slice", [table, zero, n_tokens, zero], "embeddings.positions")
    types = graph.weight(parts.matrix("token_types.weight"))[0]
    first_type = graph.node("Gather", [types, zero], "embeddings.type", axis=0)
    around = graph.node("Add", [places, first_type], "embeddings.around")
    total = graph.node("Add", [words, around], "embeddings.sum")
    norm = [graph.weight(parts.vector(f"token_embd_norm.{part}"))[0] for part in ("weight", "bias")]
    return graph.node("LayerNormalization", [total, *norm], "embeddings.normed", axis=-1, epsilon=parts.hyper.norm_eps)


def _layer(graph: Graph, parts: EncoderGraph, layer: int, states: str, mask: str, output: str) -> str:
    block, prefix, hyper = f"blk.{layer}", f"layers.{layer}", parts.hyper

    def project(value: str, *roles: str, to: str) -> str:
        matrix = parts.matrix(*(f"{block}.{role}.weight" for role in roles))
        bias = parts.vector(*(f"{block}.{role}.bias" for role in roles))
        return linear(graph, value, matrix, bias, to, parts.accuracy)

    packed = project(states, *_QKV, to=f"{prefix}.qkv")
    heads = [f"{prefix}.{letter}" for letter in "qkv"]
    graph.node("Split", [packed, graph.integers([hyper.n_embd] * 3)], heads, axis=2)
    attended = graph.node(
        "MultiHeadAttention",
        [*heads, "", mask],
        f"{prefix}.attention",
        domain=CONTRIB,
        num_heads=hyper.n_heads,
        scale=hyper.head_dim**-0.5,
    )
    attended = project(attended, "attn_output", to=f"{prefix}.attention_output")
    normed = _skip_norm(graph, parts, attended, states, f"{block}.attn_output_norm", f"{prefix}.attention_norm")
    up = project(normed, "ffn_up", to=f"{prefix}.up")
    approximate = "tanh" if hyper.activation == "gelu_tanh" else "none"
    active = graph.node("Gelu", [up], f"{prefix}.active", approximate=approximate)
    down = project(active, "ffn_down", to=f"{prefix}.down")
    return _skip_norm(graph, parts, down, normed, f"{block}.layer_output_norm", output)


def _skip_norm(graph: Graph, parts: EncoderGraph, value: str, skip: str, norm: str, output: str) -> str:
    """Layer norm of ``value`` + ``skip``."""
    weights = [graph.weight(parts.vector(f"{norm}.{part}"))[0] for part in ("weight", "bias")]
    return graph.node(
        "SkipLayerNormalization", [value, skip, *weights], output, domain=CONTRIB, epsilon=parts.hyper.norm_eps
    )


def _joined(names: tuple[str, ...]) -> str:
    return names[0].replace("attn_q.", "attn_qkv.") if len(names) > 1 else names[0]
