"""POST /v1/chat/completions"""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai_requests import MODEL, TOOLS, ask, chat, stream

from server_process import RunningServer

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
AS_SCHEMA = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}


def test_an_answer_has_all_that_clients_read(server: RunningServer) -> None:
    answer = chat(server, max_tokens=8, seed=1)
    assert answer["object"] == "chat.completion"
    assert answer["model"].startswith(f"{MODEL}:")
    (choice,) = answer["choices"]
    assert choice["index"] == 0
    assert choice["finish_reason"] == "length"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    usage = answer["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8


def test_a_stream_is_the_same_answer_in_chunks(server: RunningServer) -> None:
    options: dict[str, Any] = {"messages": HELLO, "max_tokens": 12, "temperature": 0}
    whole = ask(server, PATH, **options)
    chunks = stream(server, PATH, **options, stream_options={"include_usage": True})
    *parts, finish, usage = chunks
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    deltas = [part["choices"][0]["delta"] for part in parts]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert not any("role" in delta for delta in deltas[1:])
    assert "".join(delta["content"] for delta in deltas) == whole["choices"][0]["message"]["content"]
    assert finish["choices"][0]["delta"] == {}
    assert finish["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert all(part["usage"] is None for part in parts)


def test_without_the_option_no_chunk_tells_the_usage(server: RunningServer) -> None:
    assert not any("usage" in chunk for chunk in stream(server, PATH, messages=HELLO, max_tokens=2))


def test_the_same_seed_gives_the_same_answer(server: RunningServer) -> None:
    first, again, other = (chat(server, seed=seed, max_tokens=6)["choices"][0]["message"] for seed in (3, 3, 4))
    assert first == again != other
    assert chat(server, seed=-1, max_tokens=2)["choices"]


def test_choices(server: RunningServer) -> None:
    different = chat(server, n=3, seed=1, max_tokens=6, temperature=1.5)
    assert len({choice["message"]["content"] for choice in different["choices"]}) > 1
    answer = chat(server, n=3, temperature=0, max_tokens=6)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["completion_tokens"] == 18
    chunks = stream(server, PATH, messages=HELLO, n=3, temperature=0, max_tokens=6)
    texts = dict.fromkeys(range(3), "")
    for chunk in chunks:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert list(texts.values()) == [choice["message"]["content"] for choice in answer["choices"]]


def test_max_completion_tokens_comes_before_max_tokens(server: RunningServer) -> None:
    assert chat(server, max_completion_tokens=3, max_tokens=9)["usage"]["completion_tokens"] == 3


def test_stop(server: RunningServer) -> None:
    text = chat(server, seed=1, max_tokens=16)["choices"][0]["message"]["content"]
    stop = text.split()[2]
    stopped = chat(server, seed=1, max_tokens=16, stop=[stop])["choices"][0]
    assert stopped["finish_reason"] == "stop"
    assert stopped["message"]["content"] == text[: text.index(stop)]


def test_logprobs_of_every_token(server: RunningServer) -> None:
    for choice in (
        chat(server, seed=1, max_tokens=5, logprobs=True, top_logprobs=2)["choices"][0],
        chat(server, seed=1, max_tokens=5, logprobs=True, top_logprobs=2, tools=TOOLS)["choices"][0],
    ):
        entries = choice["logprobs"]["content"]
        assert "".join(entry["token"] for entry in entries).strip() == choice["message"]["content"].strip()
        assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 2 for entry in entries)
        assert bytes(entries[0]["bytes"]).decode() == entries[0]["token"]
    chunks = stream(server, PATH, messages=HELLO, seed=1, max_tokens=5, logprobs=True)
    entries = [entry for chunk in chunks if (given := chunk["choices"][0]["logprobs"]) for entry in given["content"]]
    assert len(entries) == 5


def test_logit_bias(server: RunningServer) -> None:
    wanted = {"4321": 1000}
    entry = chat(server, temperature=0, max_tokens=1, logprobs=True, logit_bias=wanted)["choices"][0]
    again = chat(server, temperature=0, max_tokens=2, logit_bias=wanted)["choices"][0]
    assert again["message"]["content"] == 2 * entry["message"]["content"]
    refused = ask(server, PATH, 400, messages=HELLO, logit_bias={"99999999": 1})
    assert "logit_bias names token" in refused["error"]["message"]


@pytest.mark.parametrize("given", [AS_SCHEMA, {"type": "json_object", "schema": SCHEMA}])
def test_an_answer_follows_a_schema(server: RunningServer, given: dict[str, Any]) -> None:
    pytest.importorskip("llguidance")
    answer = chat(server, response_format=given, max_tokens=120, seed=2)
    person = json.loads(answer["choices"][0]["message"]["content"])
    assert person.keys() == {"name", "age"}


def test_an_answer_is_an_object(server: RunningServer) -> None:
    pytest.importorskip("llguidance")
    answer = chat(server, response_format={"type": "json_object"}, max_tokens=200, seed=3, temperature=0.1)
    content = answer["choices"][0]["message"]["content"]
    assert content.startswith("{")
    if answer["choices"][0]["finish_reason"] == "stop":
        assert isinstance(json.loads(content), dict)


def test_a_regex_and_a_grammar(server: RunningServer) -> None:
    pytest.importorskip("llguidance")
    assert chat(server, regex="(yes|no)")["choices"][0]["message"]["content"] in ("yes", "no")
    assert chat(server, grammar='root ::= "left" | "right"')["choices"][0]["message"]["content"] in ("left", "right")
    refused = ask(server, PATH, 400, messages=HELLO, regex="a", grammar='root ::= "a"')
    assert "one format" in refused["error"]["message"]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_tool_is_called_that_must_be(server: RunningServer, choice: Any) -> None:
    pytest.importorskip("llguidance")
    options: dict[str, Any] = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False, "seed": 1}
    answer = chat(server, "Weather?", **options)["choices"][0]
    assert answer["finish_reason"] == "tool_calls"
    assert answer["message"]["content"] is None
    (call,) = answer["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["id"].startswith("call_")
    arguments = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "get_weather":
        assert arguments["days"] in (1, 2, 3)
        assert len(arguments["city"]) <= 12
    else:
        assert choice == "required"
        assert arguments == {}
    chunks = stream(server, PATH, messages=[{"role": "user", "content": "Weather?"}], **options)
    first, *rest = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert first["index"] == 0
    assert first["function"]["arguments"] == ""
    assert all(more.keys() == {"index", "function"} for more in rest)
    arguments = json.loads("".join(more["function"]["arguments"] for more in rest))
    assert arguments.keys() == ({"city", "days"} if first["function"]["name"] == "get_weather" else set())
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


LONG_CALL: dict[str, Any] = {
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "note",
                "parameters": {
                    "type": "object",
                    "properties": {"text": {"type": "string", "minLength": 60, "maxLength": 80}},
                    "required": ["text"],
                },
            },
        }
    ],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "temperature": 0,
}


def test_arguments_are_streamed_as_they_are_written(server: RunningServer) -> None:
    pytest.importorskip("llguidance")
    chunks = stream(server, PATH, messages=HELLO, **LONG_CALL)
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert len(calls) > 5
    assert len(json.loads("".join(call["function"]["arguments"] for call in calls))["text"]) >= 60


def test_a_call_that_was_cut_off_is_a_part_of_a_call_and_no_text(server: RunningServer) -> None:
    pytest.importorskip("llguidance")
    whole = chat(server, **LONG_CALL)
    most = {"max_tokens": whole["usage"]["completion_tokens"] - 16}
    answer = chat(server, **LONG_CALL, **most)["choices"][0]
    assert answer["finish_reason"] == "length"
    assert answer["message"]["content"] is None
    (cut,) = answer["message"]["tool_calls"]
    assert cut["function"]["name"] == "note"
    assert cut["function"]["arguments"].startswith('{"text":"')
    with pytest.raises(ValueError):
        json.loads(cut["function"]["arguments"])
    chunks = stream(server, PATH, messages=HELLO, **LONG_CALL, **most)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert not any(delta.get("content") for delta in deltas)
    parts = [part["function"]["arguments"] for delta in deltas for part in delta.get("tool_calls", [])]
    assert "".join(parts).startswith('{"text":"')


def test_a_call_and_its_result_go_on(server: RunningServer) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
    ]
    assert ask(server, PATH, messages=messages, tools=TOOLS, max_tokens=4)["choices"][0]["message"]["content"]


def test_a_schema_and_tools_give_one_or_the_other(server: RunningServer) -> None:
    pytest.importorskip("llguidance")
    for seed in range(3):
        options: dict[str, Any] = {"parallel_tool_calls": False, "seed": seed, "max_tokens": 150}
        message = chat(server, tools=TOOLS, response_format=AS_SCHEMA, **options)["choices"][0]["message"]
        if "tool_calls" in message:
            assert json.loads(message["tool_calls"][0]["function"]["arguments"]).keys() in ({"city", "days"}, set())
        else:
            assert json.loads(message["content"]).keys() == {"name", "age"}
    forced = chat(server, tools=TOOLS[1:], tool_choice="required", response_format=AS_SCHEMA, parallel_tool_calls=False)
    assert forced["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "now"


def test_tools_that_must_not_be_called_are_not_told(server: RunningServer) -> None:
    plain = chat(server, max_tokens=1)["usage"]["prompt_tokens"]
    assert chat(server, max_tokens=1, tools=TOOLS, tool_choice="none")["usage"]["prompt_tokens"] == plain
    assert chat(server, max_tokens=1, tools=TOOLS)["usage"]["prompt_tokens"] > plain + 20


def test_content_in_parts(server: RunningServer) -> None:
    parts = [{"type": "text", "text": "Hello"}]
    whole, in_parts = (
        ask(server, PATH, messages=[{"role": "user", "content": content}], seed=1, max_tokens=4)
        for content in ("Hello", parts)
    )
    assert whole["choices"] == in_parts["choices"]


def test_our_own_fields_count_and_unknown_ones_do_not(server: RunningServer) -> None:
    greedy = chat(server, temperature=0, max_tokens=8)["choices"]
    assert chat(server, temperature=2, top_k=1, max_tokens=8, nonsense={"a": 1})["choices"] == greedy
    short = chat(server, deadline_s=0.001, max_tokens=400, ignore_eos=True)
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] < 400


def test_continuing_the_last_message(server: RunningServer) -> None:
    messages = [*HELLO, {"role": "assistant", "content": "My name is"}]
    body: dict[str, Any] = {"messages": messages, "max_tokens": 1, "temperature": 0}
    plain, continued = (
        ask(server, PATH, continue_final_message=continues, **body)["usage"]["prompt_tokens"]
        for continues in (False, True)
    )
    assert continued < plain


@pytest.mark.parametrize(
    ("body", "status", "message", "param"),
    [
        ({"messages": "Hi"}, 400, "Expected `array`", "messages"),
        ({"messages": [{"role": "boss", "content": "Hi"}]}, 400, "boss", "messages[0].role"),
        ({"messages": []}, 400, "no messages", None),
        ({"messages": HELLO, "temperature": -1}, 400, "temperature is -1", None),
        ({"messages": HELLO, "temperature": "hot"}, 400, "Expected `float", "temperature"),
        ({"messages": HELLO, "max_tokens": 0}, 400, "max_tokens is 0", None),
        ({"messages": HELLO, "n": 0}, 400, "choices is 0", None),
        ({"messages": HELLO, "top_logprobs": 2}, 400, "needs logprobs", None),
        ({"messages": HELLO, "tool_choice": "required"}, 400, "no tools", None),
        ({"messages": HELLO, "tools": [{"type": "web_search"}]}, 400, "'web_search' cannot be used", None),
        ({"messages": HELLO, "functions": [{}]}, 400, "send tools", None),
        ({"messages": HELLO, "response_format": {"type": "json_schema"}}, 400, "needs json_schema", None),
        ({"messages": HELLO, "model": "nobody"}, 404, "nobody", None),
        ({"messages": HELLO, "adapters": [{"name": "nothing"}]}, 404, "nothing", None),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, 400, "the prompt has", None),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            400,
            "reads text only",
            None,
        ),
    ],
)
def test_what_is_off_is_said_in_openais_form(
    server: RunningServer, body: dict[str, Any], status: int, message: str, param: str | None
) -> None:
    for streams in (False, True):
        error = ask(server, PATH, status, stream=streams, **body)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert message in error["message"]
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param
