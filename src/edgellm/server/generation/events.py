"""What comes of a request, piece by piece, in no dialect."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgellm_runtimes.generation import GenerationStats
from edgellm_runtimes.sampler import TokenLogprobs

__all__ = [
    "AnswerEnd",
    "EndReason",
    "Event",
    "TextPart",
    "ThinkingPart",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
]

EndReason = Literal["stop", "length", "deadline", "tool_calls"]


class TextPart(msgspec.Struct, frozen=True):
    """Text of an answer. ``logprobs`` has one entry for each of ``token_ids`` where they were asked for."""

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    choice: int = 0


class ThinkingPart(msgspec.Struct, frozen=True):
    """Text that the model thinks before it answers, without the markers around it."""

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    choice: int = 0


class ToolCallStart(msgspec.Struct, frozen=True):
    """A call of a tool begins; its arguments follow."""

    index: int  # among the calls of this answer
    id: str
    name: str
    choice: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True):
    """More of the text of a call's arguments, which is a JSON object once it is whole."""

    index: int
    arguments: str
    choice: int = 0


class ToolCallEnd(msgspec.Struct, frozen=True):
    """Nothing more comes of a call. Not ``is_whole``: the answer was cut off, or its arguments are no JSON."""

    index: int
    is_whole: bool
    choice: int = 0


class AnswerEnd(msgspec.Struct, frozen=True):
    """The end of one answer."""

    reason: EndReason
    stats: GenerationStats
    stop_string: str | None = None  # the stop string that ended it
    thinking_tokens: int = 0  # of the generated ones
    choice: int = 0


Event = TextPart | ThinkingPart | ToolCallStart | ToolCallDelta | ToolCallEnd | AnswerEnd
