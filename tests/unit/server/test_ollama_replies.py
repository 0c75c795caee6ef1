"""Events as the lines that Ollama's clients read."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from edgellm.server.dialects.ollama.chat import our_messages
from edgellm.server.dialects.ollama.lines import encode_line
from edgellm.server.dialects.ollama.messages import Message, ToolCall, ToolFunction
from edgellm.server.dialects.ollama.replies import ChatReply, GenerateReply, Piece, read_events
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
from edgellm_runtimes.generation import GenerationStats

STATS = GenerationStats(
    prompt_tokens=7, cached_tokens=2, generated_tokens=3, queue_s=0.0, prompt_s=0.5, decode_s=0.25, seed=1
)


def piece_of(*events: Event) -> Piece:
    return asyncio.run(read_events(cast("Any", None), events, CallGatherer()))


def decoded(line: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(encode_line(line))
    return found


def test_thoughts_text_and_calls_have_their_places() -> None:
    piece = piece_of(
        ThinkingPart("Hm", (1,)),
        TextPart("Yes", (2, 3)),
        ToolCallStart(0, "call_1", "weather"),
        ToolCallDelta(0, '{"place":'),
        ToolCallDelta(0, '"Rome"}'),
        ToolCallEnd(0, True),
    )
    line = decoded(ChatReply("m").part(piece))
    assert line["message"] == {
        "role": "assistant",
        "content": "Yes",
        "thinking": "Hm",
        "tool_calls": [{"id": "call_1", "function": {"index": 0, "name": "weather", "arguments": {"place": "Rome"}}}],
    }
    assert line["done"] is False
    assert "eval_count" not in line
    assert piece.token_ids == [1, 2, 3]
    generated = decoded(GenerateReply("m").part(piece))
    assert (generated["response"], generated["thinking"]) == ("Yes", "Hm")
    assert "message" not in generated


def test_the_last_line_has_reason_and_metrics() -> None:
    line = decoded(GenerateReply("m").last(piece_of(AnswerEnd("tool_calls", STATS)), 0.125, [4, 5]))
    assert (line["done"], line["done_reason"], line["context"], line["response"]) == (True, "stop", [4, 5], "")
    assert (line["prompt_eval_count"], line["eval_count"]) == (7, 3)
    assert (line["prompt_eval_duration"], line["eval_duration"]) == (500_000_000, 250_000_000)
    assert line["load_duration"] == 125_000_000
    assert decoded(GenerateReply("m").last(piece_of(AnswerEnd("length", STATS)), 0, []))["done_reason"] == "length"


def test_messages_become_those_of_chat_templates() -> None:
    call = ToolCall(ToolFunction("weather", '{"place": "Rome"}'))
    found = our_messages(
        [
            Message("assistant", None, thinking="Hm", tool_calls=[call]),
            Message("tool", "sunny", tool_name="weather", tool_call_id="call_0"),
        ]
    )
    assert found == (
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Hm",
            "tool_calls": [
                {
                    "id": "call_0",
                    "type": "function",
                    "function": {"name": "weather", "arguments": {"place": "Rome"}},
                }
            ],
        },
        {"role": "tool", "content": "sunny", "name": "weather", "tool_call_id": "call_0"},
    )


BROKEN = (ToolCallStart(0, "call_1", "weather"), ToolCallDelta(0, '{"place":'), ToolCallEnd(0, False))


def test_a_call_that_was_cut_off_is_none() -> None:
    """Clients make calls without looking at how the answer ended."""
    piece = piece_of(*BROKEN, AnswerEnd("length", STATS))
    assert (piece.calls, piece.text) == ([], "")


def test_a_call_whose_arguments_are_no_json_is_text() -> None:
    piece = piece_of(*BROKEN)
    assert (piece.calls, piece.text) == ([], '{"name": "weather", "arguments": {"place":}')
