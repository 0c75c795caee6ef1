"""Element types of tensors: TensorProto.DataType of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto."""

from __future__ import annotations

__all__ = ["FLOAT", "INT8", "INT32", "INT64", "ITEM_BYTES", "UINT8"]

FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7
ITEM_BYTES = {FLOAT: 4, UINT8: 1, INT8: 1, INT32: 4, INT64: 8}
