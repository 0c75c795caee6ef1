"""POST /v1/messages and /v1/messages/count_tokens, as bytes on the wire."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from server_process import RunningServer

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def ask(server: RunningServer, **body: Any) -> httpx.Response:
    with server.client() as client:
        return client.post("/v1/messages", json={"model": "tiny-llm", "max_tokens": 12, "messages": QUESTION, **body})


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream, each of which must name its type twice."""
    found = []
    for part in text.removesuffix("\n\n").split("\n\n"):
        name, data = part.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def test_a_message_has_every_field_of_the_api(server: RunningServer) -> None:
    answer = ask(server).json()
    assert answer["id"].startswith("msg_")
    assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", "tiny-llm")
    assert [block["type"] for block in answer["content"]] == ["text"]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("max_tokens", None)
    usage = answer["usage"]
    assert usage["output_tokens"] == 12
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] > 5


def test_a_stream_says_the_same_as_the_whole_message(server: RunningServer) -> None:
    whole = ask(server, temperature=0).json()
    response = ask(server, temperature=0, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response.text)
    kinds = [event["type"] for event in events]
    deltas = kinds.count("content_block_delta")
    assert deltas > 1
    assert kinds == [
        *("message_start", "ping", "content_block_start"),
        *["content_block_delta"] * deltas,
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert text == whole["content"][0]["text"]
    start, end = events[0]["message"], events[-2]
    assert (start["content"], start["stop_reason"]) == ([], None)
    counted = end["usage"]
    assert start["usage"]["input_tokens"] == counted["input_tokens"] + counted["cache_read_input_tokens"]
    assert end["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert counted["output_tokens"] == 12


def test_a_stop_sequence_ends_the_answer_and_is_named(server: RunningServer) -> None:
    text = ask(server, temperature=0).json()["content"][0]["text"]
    word = text.split()[2]
    answer = ask(server, temperature=0, stop_sequences=[word]).json()
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", word)
    assert answer["content"][0]["text"] == text[: text.index(word)]


def test_an_answer_that_fills_the_context_says_so(server: RunningServer) -> None:
    words = "word " * 480
    answer = ask(server, max_tokens=4000, messages=[{"role": "user", "content": words}], stop_sequences=[]).json()
    assert answer["stop_reason"] in ("model_context_window_exceeded", "end_turn")


@pytest.mark.parametrize("words", [2000, 20_000])
def test_a_prompt_beyond_the_context_is_refused_before_a_stream_begins(server: RunningServer, words: int) -> None:
    response = ask(server, stream=True, messages=[{"role": "user", "content": "word " * words}])
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith("prompt is too long")


def test_the_system_prompt_may_be_text_or_blocks(server: RunningServer) -> None:
    def count(**body: Any) -> int:
        with server.client() as client:
            answer = client.post("/v1/messages/count_tokens", json={"model": "tiny-llm", "messages": QUESTION, **body})
            return int(answer.json()["input_tokens"])

    blocks = [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
    assert count() < count(system="Be kind.") == count(system=blocks)


def test_counted_tokens_are_those_of_the_answer(server: RunningServer) -> None:
    with server.client() as client:
        body = {"model": "tiny-llm", "messages": QUESTION, "system": "Be kind."}
        counted = client.post("/v1/messages/count_tokens", json=body).json()
    usage = ask(server, system="Be kind.").json()["usage"]
    assert counted == {"input_tokens": usage["input_tokens"] + usage["cache_read_input_tokens"]}


def test_a_schema_for_the_answer_is_followed(server: RunningServer) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    answer = ask(server, max_tokens=60, output_config={"format": {"type": "json_schema", "schema": schema}}).json()
    assert json.loads(answer["content"][0]["text"])["city"] in ("Paris", "Rome")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "robot"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "hologram"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "images"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "f"}]}]}, "tool_use"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "no"}]}]}, "'no'"),
        ({"tool_choice": {"type": "any"}}, "no tools"),
        ({"tool_choice": {"type": "tool", "name": "f"}, "tools": [{"name": "g", "input_schema": {}}]}, "'f'"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
        ({"tools": [{"name": "f"}]}, "input_schema"),
        ({"temperature": -1}, "temperature"),
    ],
)
def test_what_cannot_be_done_is_a_400_that_names_it(server: RunningServer, change: dict[str, Any], said: str) -> None:
    response = ask(server, **change)
    assert response.status_code == 400
    answer = response.json()
    assert answer["type"] == "error"
    assert answer["error"]["type"] == "invalid_request_error"
    assert said in answer["error"]["message"]


def test_an_unknown_model_is_a_404(server: RunningServer) -> None:
    response = ask(server, model="nobody")
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "not_found_error"


def test_routes_that_are_not_here_say_so_in_anthropics_form(server: RunningServer) -> None:
    with server.client() as client:
        responses = [client.get("/v1/messages/batches"), client.post("/v1/complete", json={})]
        unknown = client.get("/v1/messages/nothing")
    assert [response.status_code for response in responses] == [501, 501]
    assert all(response.json()["type"] == "error" for response in responses)
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")
