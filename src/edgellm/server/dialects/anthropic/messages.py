"""Events in no dialect as Anthropic's whole message."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from edgellm.server.dialects.anthropic.requests import MessagesRequest
from edgellm.server.dialects.anthropic.responses import (
    ContentBlock,
    Message,
    OutputTokensDetails,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolUseContent,
    Usage,
)
from edgellm.server.generation.calls.json_text import whole_members
from edgellm.server.generation.events import (
    AnswerEnd,
    Event,
    TextPart,
    ThinkingPart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from edgellm.server.generation.gathering import CallGatherer

__all__ = ["ending", "new_message_id", "omits_thinking", "usage_of", "whole_message"]


def omits_thinking(body: MessagesRequest) -> bool:
    """True where the client wants to know that the model thought, not what."""
    return body.thinking is not None and body.thinking.display == "omitted"


def new_message_id() -> str:
    """An id that no other message has."""
    return f"msg_{secrets.token_hex(12)}"


def usage_of(end: AnswerEnd) -> Usage:
    """The counts of one answer."""
    stats = end.stats
    return Usage(
        input_tokens=stats.prompt_tokens - stats.cached_tokens,
        output_tokens=stats.generated_tokens,
        cache_read_input_tokens=stats.cached_tokens,
        output_tokens_details=OutputTokensDetails(end.thinking_tokens),
    )


def ending(end: AnswerEnd, max_tokens: int) -> tuple[StopReason, str | None]:
    """Why an answer of at most ``max_tokens`` ended, and the stop sequence that ended it."""
    if end.reason == "tool_calls":
        return "tool_use", None
    if end.reason == "length":
        is_cut = end.stats.generated_tokens < max_tokens
        return ("model_context_window_exceeded" if is_cut else "max_tokens"), None
    return ("end_turn" if end.stop_string is None else "stop_sequence"), end.stop_string


async def whole_message(body: MessagesRequest, events: AsyncIterator[list[Event]]) -> Message:
    """The answer to ``body`` that ``events`` make, in blocks: what follows each other and is of one kind is one.

    The input of a call that was cut off has the members that are whole: it must be an object."""
    content: list[ContentBlock] = []
    texts: list[str] = []  # of the block that grows
    kind: type[TextContent | ThinkingContent] = TextContent
    end: AnswerEnd | None = None
    gatherer = CallGatherer()

    def finish() -> None:
        if text := "".join(texts):
            content.append(kind("" if kind is ThinkingContent and omits_thinking(body) else text))
        texts.clear()

    async for event in _each(events):
        match event:
            case TextPart() | ThinkingPart():
                wanted = TextContent if isinstance(event, TextPart) else ThinkingContent
                if wanted is not kind:
                    finish()
                    kind = wanted
                texts.append(event.text)
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                finish()
                if (call := gatherer.take(event)) is not None:
                    content.append(ToolUseContent(call.id, call.name, whole_members(call.arguments)))
            case AnswerEnd():
                end = event
    finish()
    assert end is not None
    stop_reason, stop_sequence = ending(end, body.max_tokens)
    return Message(
        id=new_message_id(),
        model=body.model,
        content=tuple(content),
        stop_reason=stop_reason,
        stop_sequence=stop_sequence,
        usage=usage_of(end),
    )


async def _each(lists: AsyncIterator[list[Event]]) -> AsyncIterator[Event]:
    async for events in lists:
        for event in events:
            yield event
