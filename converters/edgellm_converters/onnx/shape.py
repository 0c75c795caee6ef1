"""The shape of an ONNX model, as the fit model wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgellm.devices.model import ModelShape, TensorShape
from edgellm_converters.arch import EncoderHyper
from edgellm_converters.onnx.encoding import Encoding, Form
from edgellm_converters.shape import decoder_shape, encoder_shape

if TYPE_CHECKING:
    from edgellm_converters.onnx.model import OnnxModel
    from edgellm_converters.onnx.weights import Weight

__all__ = ["shape_of_onnx"]


def shape_of_onnx(model: OnnxModel, max_tokens: int | None = None) -> ModelShape:
    """Tensors as they will stand in the data file. Windows are honoured, but the cache keeps the whole context.

    ``max_tokens``: where the makers of an encoder cut texts.
    """
    tensors = [_tensor(weight) for weight in model.graph.weights if weight.sources]
    if isinstance(model.hyper, EncoderHyper):
        shape = encoder_shape(model.hyper, tensors, model.recipe.name, max_tokens)
    else:
        shape = decoder_shape(model.hyper, tensors, model.recipe.name, model.hyper.context_length)
    return msgspec.structs.replace(shape, file_bytes=model.data_bytes, format="onnx")


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
