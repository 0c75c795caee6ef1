"""The system prompt that a bundle brings along, and the tokens that every chat with it begins with."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import msgspec

__all__ = ["LONGEST_SYSTEM_PROMPT_BYTES", "SystemPrompt", "make_system_prompt", "tokens_digest"]

LONGEST_SYSTEM_PROMPT_BYTES = 1 << 20


class SystemPrompt(msgspec.Struct, frozen=True, omit_defaults=True):
    """A baked system prompt.

    ``tokens`` are the rendered chat template up to where the user's message begins, whatever that is and whatever day
    it is: their state in the KV cache can be computed once and kept.
    """

    text: str
    tokens: tuple[int, ...]
    digest: str  # of the tokens


def make_system_prompt(text: str, tokens: Sequence[int]) -> SystemPrompt:
    """The system prompt ``text`` with its tokens."""
    return SystemPrompt(text, tuple(tokens), tokens_digest(tokens))


def tokens_digest(tokens: Sequence[int]) -> str:
    """sha256:... of token ids as little-endian int32. Raises struct.error for what is none."""
    return f"sha256:{hashlib.sha256(struct.pack(f'<{len(tokens)}i', *tokens)).hexdigest()}"
