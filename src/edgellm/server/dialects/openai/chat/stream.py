"""A chat's answer as chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from edgellm.server.dialects.openai.chat.messages import ChatLogprobs
from edgellm.server.dialects.openai.logprobs import name_logprobs
from edgellm.server.dialects.openai.names import fingerprint, new_id, now_s
from edgellm.server.dialects.openai.sse import DONE
from edgellm.server.dialects.openai.usage import finish_reason, usage_of
from edgellm.server.generation.events import (
    AnswerEnd,
    Event,
    TextPart,
    ThinkingPart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from edgellm.server.models.loaded import LoadedModel

__all__ = ["chat_chunks"]

_encode = msgspec.json.Encoder().encode


async def chat_chunks(
    model: LoadedModel, stream: AsyncGenerator[list[Event], None], *, include_usage: bool, with_logprobs: bool
) -> AsyncGenerator[bytes, None]:
    """The chunks of ``stream``: those that come together in one piece."""
    chunks = _Chunks(model, include_usage, with_logprobs)
    ends: list[AnswerEnd] = []
    async for events in stream:
        parts = []
        for event in events:
            if isinstance(event, AnswerEnd):
                ends.append(event)
            parts.append(await chunks.of(event))
        if written := b"".join(parts):
            yield written
    yield (chunks.usage(ends) if include_usage else b"") + DONE


class _Chunks:
    """Writes chunks. All that is the same in each is written once."""

    def __init__(self, model: LoadedModel, include_usage: bool, with_logprobs: bool) -> None:
        head = {
            "id": new_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": now_s(),
            "model": model.name,
            "system_fingerprint": fingerprint(model),
        }
        self._engine = model.engine
        self._with_logprobs = with_logprobs
        self._head = b"data: " + _encode(head)[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
        self._begun: set[int] = set()

    async def of(self, event: Event) -> bytes:
        """The chunks of one event; before the first of a choice the one that says whose turn it is."""
        index = event.choice
        start = b""
        if index not in self._begun:
            self._begun.add(index)
            start = self._chunk(index, {"role": "assistant", "content": ""})
        match event:
            case TextPart():
                if not event.text and not self._with_logprobs:
                    return start
                return start + await self._text(event)
            case ThinkingPart():
                return start + self._chunk(index, {"reasoning_content": event.text})
            case ToolCallStart():
                function = {"name": event.name, "arguments": ""}
                call = {"index": event.index, "id": event.id, "type": "function", "function": function}
                return start + self._chunk(index, {"tool_calls": [call]})
            case ToolCallDelta():
                more = {"index": event.index, "function": {"arguments": event.arguments}}
                return start + self._chunk(index, {"tool_calls": [more]})
            case ToolCallEnd():
                return start
            case AnswerEnd():
                return start + self._chunk(index, {}, finish_reason(event))

    async def _text(self, event: TextPart) -> bytes:
        logprobs = b"null"
        if self._with_logprobs:
            named = await name_logprobs(self._engine, event.token_ids, event.logprobs)
            if not named and not event.text:
                return b""
            logprobs = _encode(ChatLogprobs(named))
        return b'%b{"index":%d,"delta":{"content":%b},"logprobs":%b,"finish_reason":null}%b' % (
            self._head,
            event.choice,
            _encode(event.text),
            logprobs,
            self._tail,
        )

    def usage(self, ends: list[AnswerEnd]) -> bytes:
        """The chunk without choices."""
        return self._head + b'],"usage":' + _encode(usage_of([ends])) + b"}\n\n"

    def _chunk(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._head + _encode(choice) + self._tail
