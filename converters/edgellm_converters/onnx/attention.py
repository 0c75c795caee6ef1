"""Attention with grouped heads, rotary embedding and the KV cache: one GroupQueryAttention node for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm_converters.arch.hyper import Hyper
from edgellm_converters.onnx.element_types import FLOAT, INT8
from edgellm_converters.onnx.graph import CONTRIB, Graph
from edgellm_converters.onnx.weights import Weight

__all__ = ["Rows", "attention"]

_KINDS = ("key", "value")
_LARGEST_LEVEL = 127
_MARGIN = 1.25  # beyond the largest number of the sample
_STEPS = 4  # of a scale to the next power of two: what another processor rounds otherwise gives the same scales


@dataclass(frozen=True)
class Rows:
    """What every attention node wants to know of the batch, as names of values."""

    last_positions: str  # int32 [batch]: tokens of a row, the new ones included, minus one
    longest: str  # int32 scalar: tokens of the longest row
    query_lens: str  # int32 [batch]: new tokens of a row
    cosines: str
    sines: str


def attention(
    graph: Graph,
    hyper: Hyper,
    layer: int,
    packed: str,
    rows: Rows,
    head_norms: tuple[Weight, Weight] | None,
    kv_ranges: Sequence[Sequence[float]] | None = None,
) -> str:
    """Attention of ``layer`` over ``packed`` [batch, tokens, (heads + 2 * kv heads) * head_dim]: q, k and v in a row.

    Gives [batch, tokens, heads * head_dim]; adds the layer's cache to the model's inputs and outputs. ``head_norms``:
    RMS norms over each head of q and k. ``kv_ranges``: the largest keys and values of each head's channels, for an int8
    cache; without them it is float32.
    """
    prefix = f"layers.{layer}.attention"
    qkv = [packed, "", ""]
    if head_norms is not None:
        qkv = _normed_heads(graph, hyper, packed, head_norms, prefix)
    element = FLOAT if kv_ranges is None else INT8
    past = [
        graph.input(
            f"past_key_values.{layer}.{kind}",
            element,
            ["batch", hyper.n_kv_heads, "past_tokens", hyper.head_dim],
        )
        for kind in _KINDS
    ]
    present = [f"present.{layer}.key", f"present.{layer}.value"]
    rotated = layer not in hyper.unrotated_layers
    tables = [rows.cosines, rows.sines] if rotated else ["", ""]
    options: dict[str, Any] = {}
    if layer in hyper.window_layers and hyper.sliding_window is not None:
        options["local_window_size"] = hyper.sliding_window
    scales = ["", ""]
    if kv_ranges is not None:
        scales = [
            graph.floats(f"{prefix}.{kind}_scales", _scales(ranges))
            for kind, ranges in zip(_KINDS, kv_ranges, strict=True)
        ]
        options |= {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_CHANNEL", "kv_cache_bit_width": 8}
    graph.node(
        "GroupQueryAttention",
        [*qkv, *past, rows.last_positions, rows.longest, *tables, *[""] * 3, *scales, *[""] * 2, rows.query_lens],
        [prefix, *present],
        domain=CONTRIB,
        num_heads=hyper.n_heads,
        kv_num_heads=hyper.n_kv_heads,
        scale=hyper.head_dim**-0.5,
        do_rotary=int(rotated),
        **options,
    )
    for name in present:
        graph.output(name, element, ["batch", hyper.n_kv_heads, "total_tokens", hyper.head_dim])
    return prefix


def _scales(ranges: Sequence[float]) -> NDArray[np.float32]:
    """Of int8 levels, with room beyond ``ranges``; a channel that was always zero gets the smallest of the others'."""
    wanted = np.asarray(ranges, np.float64) * _MARGIN / _LARGEST_LEVEL
    smallest = wanted[wanted > 0].min(initial=1.0)
    steps = np.ceil(np.log2(np.where(wanted > 0, wanted, smallest)) * _STEPS) / _STEPS
    scales: NDArray[np.float32] = np.exp2(steps).astype(np.float32)
    return scales


def _normed_heads(graph: Graph, hyper: Hyper, packed: str, norms: tuple[Weight, Weight], prefix: str) -> list[str]:
    """q, k and v apart, with the norms applied: the attention node of the CPU does not take them."""
    widths = [heads * hyper.head_dim for heads in (hyper.n_heads, hyper.n_kv_heads, hyper.n_kv_heads)]
    names = [f"{prefix}.{letter}" for letter in "qkv"]
    graph.node("Split", [packed, graph.integers(widths)], names, axis=2)
    by_head, flat = graph.integers([0, 0, -1, hyper.head_dim]), graph.integers([0, 0, -1])
    normed = []
    for name, norm in zip(names, norms, strict=False):
        heads = graph.node("Reshape", [name, by_head], f"{name}.heads")
        scaled = graph.node(
            "RMSNormalization",
            [heads, *graph.weight(norm)],
            f"{name}.normed",
            axis=-1,
            epsilon=hyper.rms_eps,
            stash_type=1,
        )
        normed.append(graph.node("Reshape", [scaled, flat], f"{name}.flat"))
    return [*normed, names[2]]
