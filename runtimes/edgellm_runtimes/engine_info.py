"""How a model was loaded, and what is known about it."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgellm.formats.encoders import Pooling
from edgellm_runtimes.backend import Capability

__all__ = ["EngineFacts", "EngineInfo", "EngineStatus", "Isolation"]

Isolation = Literal["process", "worker"]
"""Where the model runs: in this process, or in a worker process of its own."""


class EngineInfo(msgspec.Struct, frozen=True):
    """How a model was loaded."""

    path: str  # of the model file; empty in what a server tells
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


class EngineFacts(msgspec.Struct, frozen=True):
    """What the engine must know of a model to prepare requests for it."""

    info: EngineInfo
    n_vocab: int
    chat_template: str | None
    bos_text: str  # empty where the model has none
    eos_text: str
    eot_text: str
    capabilities: frozenset[Capability]
    n_embd: int  # length of an embedding
    pooling: Pooling  # of embeddings, unless a request says otherwise
    text_end: tuple[int, ...] = ()  # tokens that the tokenizer puts after a text


class EngineStatus(msgspec.Struct, frozen=True):
    """How an engine is. A worker that is ``stopped`` starts again with the next request after ``retry_in_s``."""

    isolation: Isolation
    state: Literal["running", "loading", "stopped", "closed"]
    pid: int | None  # of the process that holds the model
    starts: int  # how often the model was loaded, or tried to
    retry_in_s: float = 0.0
    last_error: str | None = None  # what the worker ended with, if it did
    silent_s: float = 0.0  # since the decode thread came on, while it has work
    is_stuck: bool = False  # that is many times what a step takes: it may never come on
