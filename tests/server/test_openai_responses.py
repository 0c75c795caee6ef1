"""POST /v1/responses"""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai_requests import TOOLS, ask, stream

from server_process import RunningServer

PATH = "/v1/responses"
FLAT_TOOLS = [{"type": "function", **tool["function"]} for tool in TOOLS]


def test_a_response(server: RunningServer) -> None:
    answer = ask(server, PATH, input="Hello", instructions="Be brief.", max_output_tokens=6, seed=1)
    assert answer["object"] == "response"
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    (message,) = answer["output"]
    assert message["type"] == "message"
    assert message["content"][0]["type"] == "output_text"
    assert message["content"][0]["text"]
    assert answer["usage"]["output_tokens"] == 6
    assert answer["store"] is False


def test_a_stream_tells_every_step_and_ends_with_the_response(server: RunningServer) -> None:
    options: dict[str, Any] = {"input": "Hello", "max_output_tokens": 12, "temperature": 0}
    whole = ask(server, PATH, **options)
    events = stream(server, PATH, **options)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events if not event["type"].endswith(".delta")] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        f"response.{whole['status']}",
    ]
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert text == whole["output"][0]["content"][0]["text"]
    assert events[-1]["response"]["output"][0]["content"] == whole["output"][0]["content"]
    assert events[-1]["response"]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


def test_a_tool_is_called_that_must_be(server: RunningServer) -> None:
    pytest.importorskip("llguidance")
    options: dict[str, Any] = {
        "input": "Weather?",
        "tools": FLAT_TOOLS,
        "tool_choice": {"type": "function", "name": "get_weather"},
        "parallel_tool_calls": False,
        "seed": 1,
    }
    (call,) = ask(server, PATH, **options)["output"]
    assert call["type"] == "function_call"
    assert call["name"] == "get_weather"
    assert json.loads(call["arguments"])["days"] in (1, 2, 3)
    events = stream(server, PATH, **options)
    (done,) = [event for event in events if event["type"] == "response.function_call_arguments.done"]
    parts = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
    assert "".join(parts) == done["arguments"]
    assert json.loads(done["arguments"])["days"] in (1, 2, 3)
    assert events[-1]["type"] == "response.completed"


def test_calls_and_results_are_input(server: RunningServer) -> None:
    given = [
        {"role": "user", "content": [{"type": "input_text", "text": "What time is it?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c1", "name": "now", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "noon"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Noon."}]},
        {"role": "user", "content": "Thanks"},
    ]
    assert ask(server, PATH, input=given, tools=FLAT_TOOLS, max_output_tokens=3)["output"]


def test_text_follows_a_schema(server: RunningServer) -> None:
    pytest.importorskip("llguidance")
    schema = {"type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"], "additionalProperties": False}
    text = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
    answer = ask(server, PATH, input="Hello", text=text)
    assert answer["status"] == "completed"
    assert json.loads(answer["output"][0]["content"][0]["text"])["x"] in (1, 2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"input": "a", "previous_response_id": "resp_1"}, "nothing is kept here"),
        ({"input": "a", "background": True}, "nothing is kept here"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "'item_reference'"),
        ({"input": [{"type": "function_call", "name": "x"}]}, "needs call_id"),
        ({"input": [{"role": "boss", "content": "x"}]}, "'boss'"),
        ({"input": "a", "tools": [{"type": "web_search"}]}, "'web_search' cannot be used"),
        ({"input": "a", "tool_choice": {"type": "mcp"}}, "tool_choice must be"),
        ({"input": "a", "n": 2}, "one answer"),
    ],
)
def test_what_is_not_possible_is_refused(server: RunningServer, body: dict[str, Any], message: str) -> None:
    for streams in (False, True):
        assert message in ask(server, PATH, 400, stream=streams, **body)["error"]["message"]
