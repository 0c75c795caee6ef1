"""A training checkpoint: config.json and safetensors, read by row range. Nothing in it is trusted or executed."""

from __future__ import annotations

from edgellm_converters.checkpoint.checkpoint import Checkpoint, open_checkpoint
from edgellm_converters.checkpoint.tensors import TensorRef

__all__ = ["Checkpoint", "TensorRef", "open_checkpoint"]
