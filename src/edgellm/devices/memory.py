"""How many bytes a loaded model takes: weights, repacked copy, KV cache, compute buffer, adapters, rest, OS reserve.

The formulas reproduce the buffer sizes that llama.cpp (ggml 0.25.3) logs; tests/oracle compares them with a real load.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec

from edgellm.devices.model import ModelShape
from edgellm.devices.prediction import PredictedMemory
from edgellm.devices.profile import Memory
from edgellm.devices.repack import repack_bytes, replaced_bytes
from edgellm.devices.settings import ONNX_RUN_TOKENS, RunSettings

__all__ = [
    "PredictedMemory",
    "compute_bytes",
    "kv_bytes",
    "kv_cells",
    "os_reserve_bytes",
    "predict_memory",
    "process_overhead_bytes",
]

_MIB = 2**20
# ONNX Runtime keeps the weights once more in the order of its kernels: of a model in 4-bit blocks 531 MB beside 374 MB.
_ONNX_COPY_SHARE = 0.42
_PAD_CELLS = 256  # llama.cpp rounds the context, and a sliding window's cache, up to this
_KV_BYTES = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
    "int8": 1.0,  # of ONNX models; the scales belong to the graph
}
# Measured here: Python with numpy, llama.cpp's libraries and our runtime loaded, no model; and what the vocabulary adds
# per token (text, score, hash tables, merges: 150 bytes with few merges, 250 with as many as tokens).
_PROCESS_BYTES = 58 * _MIB
_VOCABULARY_BYTES = 200
# (size of RAM in bytes, kept for the system) by kind of machine; between the points a straight line.
_HEADLESS_RESERVE = (
    (512 * _MIB, 150e6),
    (1024 * _MIB, 300e6),
    (2048 * _MIB, 300e6),
    (4096 * _MIB, 600e6),
    (8192 * _MIB, 1e9),
)


def predict_memory(
    shape: ModelShape, settings: RunSettings, features: tuple[str, ...], memory: Memory
) -> PredictedMemory:
    """Memory of ``shape`` under ``settings`` on a CPU with ``features`` (names as in /proc/cpuinfo)."""
    weights = shape.weights_bytes
    copy = repack_bytes(shape, features) if settings.repack else 0
    if shape.format == "onnx":
        copy = round(_ONNX_COPY_SHARE * weights)
    if settings.repack and not settings.mmap:  # the mapped file keeps both forms resident; a read one does not
        weights -= replaced_bytes(shape, features)
    kv = kv_bytes(shape, settings)
    compute = compute_bytes(shape, settings)
    overhead = process_overhead_bytes(shape, settings)
    return PredictedMemory(
        total_bytes=weights + copy + kv + compute + overhead + settings.adapter_bytes,
        weights_bytes=weights,
        repack_bytes=copy,
        kv_bytes=kv,
        compute_bytes=compute,
        overhead_bytes=overhead,
        reserve_bytes=os_reserve_bytes(memory),
        adapter_bytes=settings.adapter_bytes,
    )


def kv_cells(settings: RunSettings) -> int:
    """Cells of the KV cache, in all its rooms."""
    return _padded(settings.context) * settings.rooms


def kv_bytes(shape: ModelShape, settings: RunSettings) -> int:
    """KV cache of all layers; a sliding-window layer keeps its window per sequence and one step, no more."""
    cells = kv_cells(settings)
    key, value = _KV_BYTES[settings.kv_type_k], _KV_BYTES[settings.kv_type_v]
    total = 0.0
    for layer in shape.layers:
        kept = cells
        if layer.window is not None:
            kept = min(cells, _padded(layer.window + _step(settings)) * settings.rooms)
        total += kept * layer.n_kv_heads * (layer.key_length * key + layer.value_length * value)
    return round(total) + shape.state_bytes * settings.rooms


def compute_bytes(shape: ModelShape, settings: RunSettings) -> int:
    """Scratch space of one step, with the output rows beside it.

    The largest of three stages counts, each in F32 rows of one prompt step: the feed-forward (gate, up, their product
    and four hidden rows), attention (without flash attention its scores over the whole cache), and the logits.
    """
    if shape.is_encoder:
        return _encoder_compute_bytes(shape, settings)
    step, cells = _graph_step(shape, settings), _padded(settings.context)  # each token looks at its own sequence
    widths = _widths(shape)
    mask = cells * (2 if settings.flash_attention else 4)
    scores = 0 if settings.flash_attention else 4 * cells * shape.n_heads
    feed_forward = 4 * (widths.feed_forward + 4 * shape.n_embd) + mask
    attention = 4 * (3 * shape.n_embd + 2 * widths.query + 2 * widths.key_value) + scores + mask
    rows = min(max(settings.n_outputs or settings.sequences, 1), step)
    logits = 4 * rows * (shape.n_vocab + shape.n_embd) + step * (4 * shape.n_embd + mask)
    kept_rows = 4 * shape.n_vocab * max(settings.rooms, rows)
    return max(step * max(feed_forward, attention), logits) + kept_rows


def _encoder_compute_bytes(shape: ModelShape, settings: RunSettings) -> int:
    """Of an encoder: texts are computed at once, in a step that holds the longest. Feed-forward and attention take what
    they take in a decoder, but for the gate; there are no logits, and every token gives a hidden state."""
    step = max(settings.ubatch, settings.context)
    scores = 0 if settings.flash_attention else 4 * step * shape.n_heads
    feed_forward = 4 * (2 * _widths(shape).feed_forward // 3 + 4 * shape.n_embd)
    attention = 4 * 7 * shape.n_embd + scores + 2 * step
    return step * (max(feed_forward, attention) + 4 * shape.n_embd)


def process_overhead_bytes(shape: ModelShape, settings: RunSettings) -> int:
    """The interpreter, libraries, the vocabulary, and the working memory of matrix multiplication."""
    activations = _graph_step(shape, settings) * _widths(shape).longest_row  # one byte per value, rounded to 8 bits
    return _PROCESS_BYTES + _VOCABULARY_BYTES * shape.n_vocab + activations


def os_reserve_bytes(memory: Memory) -> int:
    """What to leave to the operating system and everything else, by the size and kind of the machine."""
    if memory.os_reserve_mb is not None:
        return round(memory.os_reserve_mb.middle * 1e6)
    size = memory.size_bytes
    if memory.system == "android":
        return size // 2
    if memory.system == "macos":
        return size * 3 // 10
    if memory.system == "jetson":
        return min(2_500_000_000, size // 2)
    if memory.system == "desktop":
        return min(2_000_000_000, size // 2)
    return _on_line(_HEADLESS_RESERVE, size)


class _Widths(msgspec.Struct, frozen=True):
    feed_forward: int  # values that the feed-forward holds at once, per token
    query: int
    key_value: int
    longest_row: int


def _widths(shape: ModelShape) -> _Widths:
    feed_forward = longest = query = 0
    for tensor in shape.tensors:
        if len(tensor.shape) < 2 or not tensor.name.startswith("blk."):
            continue
        longest = max(longest, tensor.shape[0])
        part = tensor.name.split(".", 2)[2]
        if part == "ffn_down.weight":
            feed_forward = max(feed_forward, 3 * tensor.shape[0])
        elif part == "ffn_down_exps.weight":
            feed_forward = max(feed_forward, shape.n_experts_used * (3 * tensor.shape[0] + shape.n_embd))
        elif part == "attn_output.weight":
            query = max(query, tensor.shape[0])
    key_value = max((layer.n_kv_heads * layer.key_length for layer in shape.layers), default=0)
    return _Widths(feed_forward, query or shape.n_embd, key_value, longest or shape.n_embd)


def _step(settings: RunSettings) -> int:
    return min(settings.ubatch, kv_cells(settings))


def _graph_step(shape: ModelShape, settings: RunSettings) -> int:
    """Tokens that are computed at once."""
    step = _step(settings)
    return min(step, ONNX_RUN_TOKENS) if shape.format == "onnx" and not shape.is_encoder else step


def _padded(cells: int) -> int:
    return -(-cells // _PAD_CELLS) * _PAD_CELLS


def _on_line(points: tuple[tuple[int, float], ...], x: int) -> int:
    if x <= points[0][0]:
        return round(points[0][1] * min(1.0, x / points[0][0]))
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return round(y0 + (y1 - y0) * (x - x0) / (x1 - x0))
    return round(points[-1][1])
