"""The part of a device profile that decides: which recipes, how much context, how the runtime runs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["FLOAT_KV", "KVType", "Policy"]

Recipe = Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_]{1,15}$")]
Threads = Annotated[int, msgspec.Meta(ge=1, le=1024)]
KVType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]

FLOAT_KV = ("f32", "f16", "bf16")
"""Those that round nothing to blocks."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Choices for this device, and why."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=600)]
    preferred: tuple[Recipe, ...] = ()  # recipes that the processor runs fast; empty means no preference
    avoided: tuple[Recipe, ...] = ()  # recipes that `auto` takes only when nothing else fits
    repack: bool = True  # let llama.cpp keep a rearranged second copy of the weights, where memory allows it
    mmap: bool = True
    ubatch: Annotated[int, msgspec.Meta(ge=16, le=4096)] = 512  # prompt tokens per step
    kv_type_k: KVType = "f16"
    kv_type_v: KVType = "f16"
    flash_attention: bool = True
    context_cap: Annotated[int, msgspec.Meta(ge=256, le=1 << 24)] = 8192  # `auto` plans no more than this
    threads: Threads | None = None  # decode; absent: the cores of the fastest cluster
    batch_threads: Threads | None = None  # prefill; absent: the same
    isolation: Literal["process", "in-process"] = "process"  # where `serve` runs the model
