"""How many bytes a loaded ONNX model takes.

Measured with ONNX Runtime 1.32 (docs/benchmarks.md): matrices in blocks grow when they are brought into the
processor's layout, on every processor by about the same; what is in that layout is mapped from a file when it was saved
before, and lies in memory of the process when it was not: it counts alike.
"""

from __future__ import annotations

from edgellm.devices.model import ModelShape
from edgellm.devices.settings import RunSettings

__all__ = ["ONNX_KV_BYTES", "onnx_rooms", "packed_bytes", "processing_bytes"]

ONNX_KV_BYTES = {"f32": 4, "f16": 2, "int8": 1}
_PROCESS_BYTES = 95 << 20  # Python with numpy, ONNX Runtime, tokenizers and our runtime, no model
_VOCABULARY_BYTES = 500  # of the tokenizers library, per token
_GROWTH = 1.4
_ROOMS_ALONE = 2  # one sequence, and one for a prefix that may come again


def onnx_rooms(settings: RunSettings) -> int:
    """How often the KV cache holds a whole context: sequences share no cells."""
    return _ROOMS_ALONE if settings.sequences == 1 else settings.rooms


def packed_bytes(shape: ModelShape) -> int:
    """The weights in the processor's layout."""
    return round(sum(t.size_bytes * (_GROWTH if t.type.startswith("INT") else 1) for t in shape.tensors))


def processing_bytes(shape: ModelShape) -> int:
    """The interpreter, the libraries and the vocabulary."""
    return _PROCESS_BYTES + _VOCABULARY_BYTES * shape.n_vocab
