"""GGUF files: written from a checkpoint in one pass, adopted as they are, merged from parts, or requantized."""

from __future__ import annotations

from edgellm_converters.gguf.adopt import adopt, adopted_size, recipe_of
from edgellm_converters.gguf.general import GeneralMetadata
from edgellm_converters.gguf.reuse import check_requantizable, requantize, requantized_size
from edgellm_converters.gguf.writer import Sink, WrittenGGUF, gguf_size, write_gguf, write_ggufs

__all__ = [
    "GeneralMetadata",
    "Sink",
    "WrittenGGUF",
    "adopt",
    "adopted_size",
    "check_requantizable",
    "gguf_size",
    "recipe_of",
    "requantize",
    "requantized_size",
    "write_gguf",
    "write_ggufs",
]
