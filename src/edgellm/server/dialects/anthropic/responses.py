"""What Anthropic's clients read: whole messages, and the events of a stream."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "ContentBlock",
    "ContentBlockDelta",
    "ContentBlockStart",
    "ContentBlockStop",
    "ErrorAnswer",
    "ErrorDetail",
    "InputJSONDelta",
    "Message",
    "MessageDelta",
    "MessageDeltaEvent",
    "MessageStart",
    "MessageStop",
    "OutputTokensDetails",
    "Ping",
    "SignatureDelta",
    "StopReason",
    "TextContent",
    "TextDelta",
    "ThinkingContent",
    "ThinkingDelta",
    "TokenCount",
    "ToolUseContent",
    "Usage",
]

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"]


class TextContent(msgspec.Struct, frozen=True, tag="text"):
    """Text of the answer."""

    text: str
    citations: None = None


class ThinkingContent(msgspec.Struct, frozen=True, tag="thinking"):
    """What the model thought. ``signature`` is empty: whoever sends it back need prove nothing."""

    thinking: str
    signature: str = ""


class ToolUseContent(msgspec.Struct, frozen=True, tag="tool_use"):
    """A call that the client should make."""

    id: str
    name: str
    input: Any = {}


ContentBlock = TextContent | ThinkingContent | ToolUseContent


class OutputTokensDetails(msgspec.Struct, frozen=True):
    """Tokens of the answer by what they were for."""

    thinking_tokens: int = 0


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens. Those of the prompt are ``input_tokens`` (computed) and ``cache_read_input_tokens`` together."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()


class Message(msgspec.Struct, frozen=True, kw_only=True, tag="message"):
    """A whole answer."""

    id: str
    model: str
    content: tuple[ContentBlock, ...]
    stop_reason: StopReason | None
    usage: Usage
    stop_sequence: str | None = None
    role: Literal["assistant"] = "assistant"


class TokenCount(msgspec.Struct, frozen=True):
    """How many tokens a request would give to the model."""

    input_tokens: int


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong."""

    type: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True, tag="error"):
    """An error, as an answer and as the last event of a stream."""

    error: ErrorDetail


class TextDelta(msgspec.Struct, frozen=True, tag="text_delta"):
    """More text."""

    text: str


class ThinkingDelta(msgspec.Struct, frozen=True, tag="thinking_delta"):
    """More thinking."""

    thinking: str


class SignatureDelta(msgspec.Struct, frozen=True, tag="signature_delta"):
    """Ends a block of thinking."""

    signature: str


class InputJSONDelta(msgspec.Struct, frozen=True, tag="input_json_delta"):
    """More of the arguments of a call, as text."""

    partial_json: str


class MessageStart(msgspec.Struct, frozen=True, tag="message_start"):
    """The first event: a message without content."""

    message: Message


class ContentBlockStart(msgspec.Struct, frozen=True, tag="content_block_start"):
    """A block begins, empty."""

    index: int
    content_block: ContentBlock


class ContentBlockDelta(msgspec.Struct, frozen=True, tag="content_block_delta"):
    """A block grows."""

    index: int
    delta: TextDelta | ThinkingDelta | SignatureDelta | InputJSONDelta


class ContentBlockStop(msgspec.Struct, frozen=True, tag="content_block_stop"):
    """A block is whole."""

    index: int


class MessageDelta(msgspec.Struct, frozen=True):
    """Why the answer ended."""

    stop_reason: StopReason
    stop_sequence: str | None


class MessageDeltaEvent(msgspec.Struct, frozen=True, tag="message_delta"):
    """The end of the answer, with all counts."""

    delta: MessageDelta
    usage: Usage


class MessageStop(msgspec.Struct, frozen=True, tag="message_stop"):
    """The last event."""


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Nothing happened."""
