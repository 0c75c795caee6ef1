"""A decoder as an ONNX graph: what transformers computes, in the operators that ONNX Runtime has for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgellm_converters.arch.hyper import Hyper
from edgellm_converters.arch.plan import TensorPlan
from edgellm_converters.onnx.attention import Rows, attention
from edgellm_converters.onnx.batch import batch_inputs
from edgellm_converters.onnx.element_types import FLOAT
from edgellm_converters.onnx.embedding import embed
from edgellm_converters.onnx.encoding import Encoding
from edgellm_converters.onnx.graph import CONTRIB, Graph
from edgellm_converters.onnx.linear import linear
from edgellm_converters.onnx.rope_tables import rope_tables
from edgellm_converters.onnx.weights import Weight

__all__ = ["HEAD", "QKV", "DecoderGraph", "build_decoder"]

HEAD = "token_embd.weight", "output.weight"
"""The embedding, and the output matrix where it is another one (GGUF names)."""

QKV = ("attn_q", "attn_k", "attn_v")
"""The matrices that become one."""


@dataclass(frozen=True)
class DecoderGraph:
    """What a decoder is built from. ``encodings``: GGUF name of every matrix -> how it is stored, as ``fitted``.

    The matrices of q, k and v become one, ``attn_qkv``.
    """

    hyper: Hyper
    plans: Mapping[str, TensorPlan]  # by GGUF name
    encodings: Mapping[str, Encoding]
    context_length: int  # positions of the rotary tables
    accuracy: int  # of MatMulNBits
    kv_ranges: Sequence[Sequence[float]] | None = None  # see attention; keys of layer 0, its values, keys of layer 1

    def vector(self, *names: str) -> Weight | None:
        """The vectors of GGUF ``names`` end to end; None where the model has none."""
        if names[0] not in self.plans:
            return None
        plans = [self.plans[name] for name in names]
        joined = names[0].replace("attn_q.", "attn_qkv.") if len(names) > 1 else names[0]
        length = sum(plan.shape[0] for plan in plans)
        return Weight(joined, 1, length, tuple(plan.source for plan in plans), is_vector=True)

    def norm(self, name: str) -> Weight:
        """A norm's factors; it must be there."""
        weight = self.vector(name)
        if weight is None:
            raise AssertionError(f"no tensor {name}")
        return weight

    def matrix(self, *names: str) -> Weight:
        """The matrices of GGUF ``names``, one below the other."""
        plans = [self.plans[name] for name in names]
        joined = names[0].replace("attn_q.", "attn_qkv.") if len(names) > 1 else names[0]
        return Weight(
            joined,
            sum(plan.shape[1] for plan in plans),
            plans[0].shape[0],
            tuple(plan.source for plan in plans),
            self.encodings[joined],
        )


def build_decoder(parts: DecoderGraph) -> Graph:
    """The graph: inputs as ``batch_inputs`` says, ``hidden_states`` float32 [positions, 1, hidden] after the last
    norm, ``logits`` float32 [positions that get them, 1, vocabulary], and the cache of every layer."""
    hyper = parts.hyper
    graph = Graph(hyper.architecture)
    batch = batch_inputs(graph)
    cosines, sines = (
        Weight(name, len(table), table.shape[1], values=table)
        for name, table in zip(
            ("rope.cosines", "rope.sines"),
            rope_tables(hyper.rope, hyper.head_dim, parts.context_length),
            strict=True,
        )
    )
    rows = Rows(batch.last_positions, batch.longest, batch.query_lens, graph.weight(cosines)[0], graph.weight(sines)[0])
    embedding = parts.matrix(HEAD[0])
    residual = embed(graph, batch.ids, embedding, "embedding")
    normed = _first_norm(graph, parts, residual)
    for layer in range(hyper.n_layers):
        wanted = batch.wanted if layer == hyper.n_layers - 1 else ""
        normed, residual = _layer(graph, parts, layer, normed, residual, rows, wanted)
    graph.output("hidden_states", FLOAT, ["positions", 1, hyper.n_embd])
    head = parts.matrix(HEAD[1]) if HEAD[1] in parts.plans else embedding
    zero = graph.integers([0])
    scored = graph.node("Slice", [normed, zero, batch.n_logits, zero], "hidden_states.scored")
    linear(graph, scored, head, None, "logits", parts.accuracy)
    graph.output("logits", FLOAT, ["logits_positions", 1, hyper.n_vocab])
    return graph


def _first_norm(graph: Graph, parts: DecoderGraph, residual: str) -> str:
    names = graph.weight(parts.norm("blk.0.attn_norm.weight"))
    return graph.node(
        "RMSNormalization",
        [residual, *names],
        "layers.0.attention_norm",
        axis=-1,
        epsilon=parts.hyper.rms_eps,
        stash_type=1,
    )


def _layer(
    graph: Graph, parts: DecoderGraph, layer: int, normed: str, residual: str, rows: Rows, wanted: str
) -> tuple[str, str]:
    """One layer: the normed input of what follows, and the residual. ``wanted``: the only positions that matter from
    here on; empty for all."""
    block, prefix = f"blk.{layer}", f"layers.{layer}"

    def project(value: str, *roles: str, output: str) -> str:
        matrix = parts.matrix(*(f"{block}.{role}.weight" for role in roles))
        bias = parts.vector(*(f"{block}.{role}.bias" for role in roles))
        return linear(graph, value, matrix, bias, output, parts.accuracy)

    packed = project(normed, *QKV, output=f"{prefix}.qkv")
    norms = None
    if f"{block}.attn_q_norm.weight" in parts.plans:
        norms = parts.norm(f"{block}.attn_q_norm.weight"), parts.norm(f"{block}.attn_k_norm.weight")
    ranges = parts.kv_ranges[2 * layer : 2 * layer + 2] if parts.kv_ranges is not None else None
    attended = attention(graph, parts.hyper, layer, packed, rows, norms, ranges)
    if wanted:
        attended = _only(graph, attended, wanted)
        residual = _only(graph, residual, wanted)
    attended = project(attended, "attn_output", output=f"{prefix}.attention_output")
    normed, residual = _skip_norm(graph, parts, attended, residual, f"{block}.ffn_norm.weight", f"{prefix}.mlp_norm")
    gate = project(normed, "ffn_gate", output=f"{prefix}.gate")
    up = project(normed, "ffn_up", output=f"{prefix}.up")
    active = graph.node("QuickGelu", [gate], f"{prefix}.active", domain=CONTRIB, alpha=1.0)  # SiLU
    gated = graph.node("Mul", [active, up], f"{prefix}.gated")
    down = project(gated, "ffn_down", output=f"{prefix}.down")
    if layer == parts.hyper.n_layers - 1:
        return _skip_norm(graph, parts, down, residual, "output_norm.weight", "hidden_states")
    following = f"blk.{layer + 1}.attn_norm.weight"
    return _skip_norm(graph, parts, down, residual, following, f"layers.{layer + 1}.attention_norm")


def _skip_norm(graph: Graph, parts: DecoderGraph, value: str, residual: str, norm: str, output: str) -> tuple[str, str]:
    """RMS norm of ``value`` + ``residual``, and that sum."""
    total = f"{output}.residual" if not output.startswith("hidden_states") else ""
    graph.node(
        "SkipSimplifiedLayerNormalization",
        [value, residual, *graph.weight(parts.norm(norm))],
        [output, "", "", total] if total else [output],
        domain=CONTRIB,
        epsilon=parts.hyper.rms_eps,
    )
    return output, total


def _only(graph: Graph, value: str, wanted: str) -> str:
    """The positions ``wanted`` of ``value`` [batch, tokens, width]: [positions, 1, width]."""
    flat = graph.node("Flatten", [value], f"{value}.positions", axis=2)
    chosen = graph.node("Gather", [flat, wanted], f"{value}.chosen", axis=0)
    return graph.node("Unsqueeze", [chosen, graph.integers([1])], f"{value}.wanted")
