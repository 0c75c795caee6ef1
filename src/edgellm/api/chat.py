"""POST /api/edgellm/chat: a conversation is answered, thoughts apart from what is said."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgellm.api.run import RunFailure
from edgellm_runtimes.generation import GenerationStats, Overflow
from edgellm_runtimes.grammar import Grammar

__all__ = [
    "ChatEnd",
    "ChatLine",
    "ChatOrder",
    "ChatStart",
    "ChatText",
    "ChatThought",
    "ChatTurn",
    "EndReason",
    "Thinking",
]

EndReason = Literal["stop", "length", "deadline", "tool_calls"]
Thinking = bool | Literal["low", "medium", "high"] | None


class ChatTurn(msgspec.Struct, frozen=True):
    """A message."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Messages to answer through the model's template with what its bundle adds.

    ``sampling`` has the fields of SamplingParams that were chosen; what it does not name is the model's own default.
    ``thinking`` None leaves it to the model; an effort turns it on. With ``continue_last`` the answer goes on where a
    last message of the assistant ends. ``context`` asks for room for so many tokens.
    """

    model: str
    messages: tuple[ChatTurn, ...]
    sampling: dict[str, Any] = {}
    stop: tuple[str, ...] = ()
    deadline_s: float | None = None
    overflow: Overflow = "error"
    keep: int = 0
    grammar: Grammar | None = None
    thinking: Thinking = None
    continue_last: bool = False
    context: int | None = None
    keep_alive_s: float | None = None


class ChatStart(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """The first line."""

    name: str  # of the bundle
    digest: str
    context: int  # tokens of one conversation
    note: str = ""  # what is otherwise than was asked for


class ChatText(msgspec.Struct, frozen=True, tag="text"):
    """A piece of what is said."""

    text: str


class ChatThought(msgspec.Struct, frozen=True, tag="thought"):
    """A piece of what the model thinks before it answers."""

    text: str


class ChatEnd(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """The last line."""

    reason: EndReason
    stats: GenerationStats
    stop_string: str | None = None  # the stop string that ended it
    thinking_tokens: int = 0  # of the generated ones


ChatLine = ChatStart | ChatText | ChatThought | ChatEnd | RunFailure
