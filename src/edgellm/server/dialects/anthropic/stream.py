"""Events in no dialect as Anthropic's server-sent events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from edgellm.server.dialects.anthropic.messages import ending, new_message_id, omits_thinking, usage_of
from edgellm.server.dialects.anthropic.requests import MessagesRequest
from edgellm.server.dialects.anthropic.responses import (
    ContentBlock,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    InputJSONDelta,
    Message,
    MessageDelta,
    MessageDeltaEvent,
    MessageStart,
    MessageStop,
    Ping,
    SignatureDelta,
    TextContent,
    TextDelta,
    ThinkingContent,
    ThinkingDelta,
    ToolUseContent,
    Usage,
)
from edgellm.server.generation.events import (
    AnswerEnd,
    Event,
    TextPart,
    ThinkingPart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)

__all__ = ["MessageStream", "encoded"]

_encoder = msgspec.json.Encoder()


def encoded(event: msgspec.Struct) -> bytes:
    """One server-sent event; its name is the tag of the struct."""
    return b"event: %b\ndata: %b\n\n" % (str(event.__struct_config__.tag).encode(), _encoder.encode(event))


class MessageStream:
    """The answer to ``body`` on its way to a client: which block is open, and how many there were."""

    def __init__(self, body: MessagesRequest, prompt_tokens: int) -> None:
        self._body = body
        self._prompt_tokens = prompt_tokens
        self._omits_thinking = omits_thinking(body)
        self._index = -1
        self._open: type[ContentBlock] | None = None

    def start(self) -> bytes:
        """What comes before any content. How much of the prompt was cached is not known yet."""
        usage = Usage(input_tokens=self._prompt_tokens, output_tokens=0)
        empty = Message(id=new_message_id(), model=self._body.model, content=(), stop_reason=None, usage=usage)
        return encoded(MessageStart(empty)) + encoded(Ping())

    def feed(self, events: Sequence[Event]) -> bytes:
        """What ``events`` add; may be nothing."""
        return b"".join(encoded(event) for each in events for event in self._events(each))

    def _events(self, event: Event) -> Iterator[msgspec.Struct]:
        match event:
            case TextPart(text=text) if text:
                yield from self._block(TextContent)
                yield ContentBlockDelta(self._index, TextDelta(text))
            case ThinkingPart(text=text) if text:
                yield from self._block(ThinkingContent)
                if not self._omits_thinking:
                    yield ContentBlockDelta(self._index, ThinkingDelta(text))
            case ToolCallStart():
                yield from self._finish()
                yield self._begin(ToolUseContent(event.id, event.name))
            case ToolCallDelta():
                yield ContentBlockDelta(self._index, InputJSONDelta(event.arguments))
            case ToolCallEnd():
                yield from self._finish()
            case AnswerEnd():
                yield from self._finish()
                yield MessageDeltaEvent(MessageDelta(*ending(event, self._body.max_tokens)), usage_of(event))
                yield MessageStop()

    def _block(self, kind: type[TextContent] | type[ThinkingContent]) -> Iterator[msgspec.Struct]:
        """Have a block of ``kind`` open."""
        if self._open is not kind:
            yield from self._finish()
            yield self._begin(kind(""))

    def _begin(self, block: ContentBlock) -> ContentBlockStart:
        self._index += 1
        self._open = type(block)
        return ContentBlockStart(self._index, block)

    def _finish(self) -> Iterator[msgspec.Struct]:
        if self._open is ThinkingContent:
            yield ContentBlockDelta(self._index, SignatureDelta(""))
        if self._open is not None:
            yield ContentBlockStop(self._index)
        self._open = None
