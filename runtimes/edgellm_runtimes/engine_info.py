"""How a model was loaded."""

from __future__ import annotations

import msgspec

__all__ = ["EngineInfo"]


class EngineInfo(msgspec.Struct, frozen=True):
    """How a model was loaded."""

    path: str
    architecture: str
    description: str
    n_parameters: int
    size_bytes: int  # of the weights
    context: int  # tokens of one sequence
    trained_context: int
    sequences: int
    threads: int
    batch_threads: int
    kv_type_k: str
    kv_type_v: str
    flash_attention: bool
    mmap: bool
    repack: bool
    has_chat_template: bool
    load_s: float
    adapters: tuple[str, ...] = ()  # names of the LoRA adapters that requests may use
