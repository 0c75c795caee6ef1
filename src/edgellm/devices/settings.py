"""How a model is run, as far as memory and speed depend on it."""

from __future__ import annotations

import msgspec

__all__ = ["RunSettings"]


class RunSettings(msgspec.Struct, frozen=True):
    """One way to run a model."""

    context: int  # tokens of one sequence; the KV cache is one pool of context * sequences cells
    sequences: int = 1
    ubatch: int = 512  # prompt tokens per step
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    flash_attention: bool = True
    mmap: bool = True
    repack: bool = True
    n_outputs: int = 0  # logits rows per step; 0 is one per sequence
    adapter_bytes: int = 0  # data of all LoRA adapters that may be loaded beside the model
