"""Numbers of a checkpoint -> bytes of a ggml type."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import CheckpointError
from edgellm.formats.ggml_types import is_quantized, row_bytes
from edgellm_converters.gguf import ggml
from edgellm_converters.k_quants import quantize_into
from edgellm_converters.streaming import Work

__all__ = ["to_type"]


def to_type(target: str, work: Work[str], raw: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """See streaming.Convert. Raises CheckpointError for weights that do not fit the type."""
    if target == work.dtype and work.scale == 1.0:
        return raw.copy()
    if target == "F32":
        return values.view(np.uint8).copy()
    out = np.empty(row_bytes(target, values.size), np.uint8)
    quantize_into(target, values, out, ggml.quantize)
    if target == "F16":
        fits = bool(np.isfinite(out.view(np.float16)).all())
    else:
        fits = not is_quantized(target) or ggml.is_valid(target, out)
    if not fits:
        raise CheckpointError(
            f"the weights of {work.name} are too large for the type {target}", hint="take the recipe BF16 or F32"
        )
    return out
