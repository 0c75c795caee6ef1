"""From the graph of an ONNX model to the shape that the fit model needs."""

from __future__ import annotations

from edgellm.devices.model import AttentionLayer, ModelShape, TensorShape
from edgellm.formats.onnx_graph import ELEMENT_NAMES, OnnxGraph, OnnxTensor

__all__ = ["shape_from_onnx"]

_PARTS = (".scales", ".zero_points")
_RECIPE = "edgellm.recipe"


def shape_from_onnx(
    graph: OnnxGraph,
    *,
    architecture: str,
    n_embd: int,
    n_heads: int,
    n_vocab: int,
    context_length: int,
    kv_heads: int,
    head_size: int,
    n_layers: int,
    is_encoder: bool = False,
    file_bytes: int = 0,
) -> ModelShape:
    """The shape of a model: its numbers as its configuration states them, its tensors as ``graph`` has them."""
    return ModelShape(
        architecture=architecture,
        n_embd=n_embd,
        n_vocab=n_vocab,
        n_heads=n_heads,
        context_length=context_length,
        layers=() if is_encoder else (AttentionLayer(kv_heads, head_size, head_size),) * n_layers,
        tensors=tuple(_shape(graph, tensor) for tensor in graph.tensors.values() if _is_weight(tensor)),
        recipe=graph.metadata.get(_RECIPE, ""),
        format="onnx",
        file_bytes=file_bytes,
        is_encoder=is_encoder,
    )


def _is_weight(tensor: OnnxTensor) -> bool:
    return bool(tensor.location) and not tensor.name.endswith(_PARTS) and not tensor.name.startswith("rope.")


def _shape(graph: OnnxGraph, tensor: OnnxTensor) -> TensorShape:
    """A matrix with the scales and zero points that belong to it; the row length comes first."""
    parts = [graph.tensors[name] for suffix in _PARTS if (name := f"{tensor.name}{suffix}") in graph.tensors]
    size_bytes = tensor.size_bytes + sum(part.size_bytes for part in parts)
    blocks = graph.blocks.get(tensor.name)
    if blocks is not None:
        kind = f"INT{blocks.bits}_{blocks.block_size}"
        return TensorShape(tensor.name, kind, (blocks.row_length, blocks.n_rows), size_bytes)
    shape = tensor.shape if ELEMENT_NAMES.get(tensor.type) == "I8" else tuple(reversed(tensor.shape))
    return TensorShape(tensor.name, ELEMENT_NAMES.get(tensor.type, "?"), shape, size_bytes)
