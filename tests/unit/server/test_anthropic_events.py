"""Events in no dialect as Anthropic's messages and streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from edgellm.server.dialects.anthropic.messages import whole_message
from edgellm.server.dialects.anthropic.requests import MessagesRequest
from edgellm.server.dialects.anthropic.stream import MessageStream
from edgellm.server.generation.events import (
    AnswerEnd,
    Event,
    TextPart,
    ThinkingPart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from edgellm_runtimes.generation import GenerationStats

STATS = GenerationStats(
    prompt_tokens=10, cached_tokens=4, generated_tokens=5, queue_s=0, prompt_s=1, decode_s=1, seed=1
)
CALLS: list[list[Event]] = [
    [ThinkingPart("Which ")],
    [ThinkingPart("city?")],
    [TextPart(""), TextPart("Let me "), TextPart("see.")],
    [ToolCallStart(0, "call_1", "weather"), ToolCallDelta(0, '{"city":"')],
    [ToolCallDelta(0, 'Rome"}'), ToolCallEnd(0, True)],
    [ToolCallStart(1, "call_2", "clock"), ToolCallDelta(1, "{}"), ToolCallEnd(1, True)],
    [AnswerEnd("tool_calls", STATS, thinking_tokens=2)],
]


def body(**more: Any) -> MessagesRequest:
    return msgspec.convert(
        {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "?"}], **more}, MessagesRequest
    )


def whole(events: list[list[Event]], **more: Any) -> dict[str, Any]:
    async def given() -> AsyncIterator[list[Event]]:
        for each in events:
            yield each

    message = asyncio.run(whole_message(body(**more), given()))
    return dict(msgspec.json.decode(msgspec.json.encode(message)))


def streamed(events: list[list[Event]], **more: Any) -> list[dict[str, Any]]:
    stream = MessageStream(body(**more), 10)
    data = stream.start() + b"".join(stream.feed(each) for each in events)
    return [json.loads(part.partition(b"data: ")[2]) for part in data.split(b"\n\n") if part]


def test_thinking_text_and_calls_are_blocks_in_their_order() -> None:
    message = whole(CALLS)
    assert message["content"] == [
        {"type": "thinking", "thinking": "Which city?", "signature": ""},
        {"type": "text", "text": "Let me see.", "citations": None},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}},
        {"type": "tool_use", "id": "call_2", "name": "clock", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"
    assert message["usage"] == {
        "input_tokens": 6,
        "output_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 2},
    }


def test_a_stream_opens_and_closes_one_block_after_the_other() -> None:
    shape = [(event["type"], event.get("index")) for event in streamed(CALLS)]
    assert shape == [
        ("message_start", None),
        ("ping", None),
        ("content_block_start", 0),
        *[("content_block_delta", 0)] * 3,  # two of thinking, one of its signature
        ("content_block_stop", 0),
        ("content_block_start", 1),
        *[("content_block_delta", 1)] * 2,
        ("content_block_stop", 1),
        ("content_block_start", 2),
        *[("content_block_delta", 2)] * 2,
        ("content_block_stop", 2),
        ("content_block_start", 3),
        ("content_block_delta", 3),
        ("content_block_stop", 3),
        ("message_delta", None),
        ("message_stop", None),
    ]


def test_arguments_are_streamed_as_json_text() -> None:
    deltas = [event["delta"] for event in streamed(CALLS) if event.get("index") == 2 and "delta" in event]
    assert deltas == [
        {"type": "input_json_delta", "partial_json": '{"city":"'},
        {"type": "input_json_delta", "partial_json": 'Rome"}'},
    ]


def test_thinking_that_is_to_be_omitted_leaves_an_empty_block() -> None:
    omitted = {"type": "enabled", "display": "omitted"}
    assert whole(CALLS, thinking=omitted)["content"][0]["thinking"] == ""
    deltas = [
        event["delta"]["type"]
        for event in streamed(CALLS, thinking=omitted)
        if event.get("index") == 0 and "delta" in event
    ]
    assert deltas == ["signature_delta"]


def test_an_answer_without_text_has_no_block() -> None:
    assert whole([[TextPart("")], [AnswerEnd("stop", STATS)]])["content"] == []


def test_ends_have_anthropics_names() -> None:
    def reason(end: AnswerEnd, **more: Any) -> tuple[str, str | None]:
        message = whole([[end]], **more)
        return message["stop_reason"], message["stop_sequence"]

    assert reason(AnswerEnd("stop", STATS)) == ("end_turn", None)
    assert reason(AnswerEnd("stop", STATS, "END")) == ("stop_sequence", "END")
    assert reason(AnswerEnd("length", STATS)) == ("max_tokens", None)
    assert reason(AnswerEnd("length", STATS), max_tokens=6) == ("model_context_window_exceeded", None)


def test_a_call_that_was_cut_off_ends_with_max_tokens_and_what_there_is_of_it() -> None:
    cut: list[list[Event]] = [
        [ToolCallStart(0, "call_1", "weather"), ToolCallDelta(0, '{"city":"Rome","days":1')],
        [ToolCallEnd(0, False), AnswerEnd("length", STATS)],
    ]
    message = whole(cut)
    assert message["content"] == [{"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}}]
    assert message["stop_reason"] == "max_tokens"
    events = streamed(cut)
    parts = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    assert parts == ['{"city":"Rome","days":1']
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
