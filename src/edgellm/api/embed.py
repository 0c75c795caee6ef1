"""POST /api/edgellm/embed: vectors exactly as the engine gives them, for `edgellm embed`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edgellm.formats.encoders import Pooling
from edgellm_runtimes.engine_info import EngineInfo
from edgellm_runtimes.generation import AdapterUse

__all__ = ["EmbedAnswer", "EmbedOrder"]


class EmbedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to embed. ``pooling`` null is what the model was trained with, else the mean of all tokens."""

    model: str
    texts: Annotated[list[str], Meta(min_length=1, max_length=2048)]
    pooling: Pooling | None = None
    normalise: bool = True
    truncate: bool = False  # texts that are too long are cut, not refused
    adapters: tuple[AdapterUse, ...] = ()
    context: Annotated[int, Meta(ge=1)] | None = None  # most tokens of one text


class EmbedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A vector and the tokens of each text, in their order, and what made them."""

    vectors: list[list[float]]
    n_tokens: list[int]
    pooling: str
    info: EngineInfo
    note: str = ""  # what is otherwise than was asked for
