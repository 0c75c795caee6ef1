"""The shape of an ONNX model, as the fit model wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgellm.devices.model import AttentionLayer, ModelShape, TensorShape
from edgellm_converters.onnx.encoding import Encoding, Form

if TYPE_CHECKING:
    from edgellm_converters.onnx.model import OnnxModel
    from edgellm_converters.onnx.weights import Weight

__all__ = ["shape_of_onnx"]


def shape_of_onnx(model: OnnxModel) -> ModelShape:
    """Tensors as they will stand in the data file; its windows are honoured."""
    hyper = model.hyper
    layers = tuple(
        AttentionLayer(n_kv_heads=hyper.n_kv_heads, key_length=hyper.head_dim, value_length=hyper.head_dim)
        for _ in range(hyper.n_layers)
    )
    return ModelShape(
        architecture=hyper.architecture,
        n_embd=hyper.n_embd,
        n_vocab=hyper.n_vocab,
        n_heads=hyper.n_heads,
        context_length=hyper.context_length,
        layers=layers,
        tensors=tuple(_tensor(weight) for weight in model.graph.weights if weight.sources),
        recipe=model.recipe.name,
        file_bytes=model.data_bytes,
        format="onnx",
    )


def _tensor(weight: Weight) -> TensorShape:
    size_bytes = sum(part.size_bytes for part in weight.parts)
    shape = (weight.row_length,) if weight.is_vector else (weight.row_length, weight.n_rows)
    return TensorShape(weight.name, "F32" if weight.is_vector else _type(weight.encoding), shape, size_bytes)


def _type(encoding: Encoding) -> str:
    if encoding.form is Form.FLOAT:
        return "F32"
    if encoding.form is Form.COLUMNS:
        return "INT8"
    return f"INT{encoding.bits}_{encoding.block_size}" + ("_SYM" if encoding.symmetric and encoding.bits == 4 else "")
