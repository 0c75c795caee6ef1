"""LoRA adapters: a PEFT folder becomes a GGUF adapter by the name map and the transforms of its base model."""

from __future__ import annotations

from edgellm_converters.lora.base import AdapterBase, base_of_checkpoint, base_of_gguf
from edgellm_converters.lora.convert import FittedAdapter, fit_peft
from edgellm_converters.lora.peft import PeftAdapter, open_peft

__all__ = [
    "AdapterBase",
    "FittedAdapter",
    "PeftAdapter",
    "base_of_checkpoint",
    "base_of_gguf",
    "fit_peft",
    "open_peft",
]
