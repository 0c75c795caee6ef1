"""How a model is run, as far as memory and speed depend on it."""

from __future__ import annotations

import msgspec

__all__ = ["ONNX_RUN_TOKENS", "SPARE_ROOMS", "RunSettings"]

ONNX_RUN_TOKENS = 192  # that the graph of an ONNX decoder computes at once; longer parts of prompts are cut

SPARE_ROOMS = 2  # beside several sequences that run, for prefixes that may come again


class RunSettings(msgspec.Struct, frozen=True):
    """One way to run a model."""

    context: int  # tokens of one sequence
    sequences: int = 1
    ubatch: int = 512  # prompt tokens per step
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    flash_attention: bool = True
    mmap: bool = True
    repack: bool = True
    n_outputs: int = 0  # logits rows per step; 0 is one per sequence
    own_cells: bool = False  # a sequence shares no part of the KV cache, not even with prefixes that are kept
    adapter_bytes: int = 0  # data of all LoRA adapters that may be loaded beside the model

    @property
    def rooms(self) -> int:
        """How often the KV cache holds a whole context.

        One sequence shares its room with prefixes that are kept, or has one more for them; several have a few more.
        """
        if self.sequences == 1:
            return 2 if self.own_cells else 1
        return self.sequences + SPARE_ROOMS
