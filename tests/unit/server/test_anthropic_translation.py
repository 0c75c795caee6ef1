"""Anthropic's requests as chats in no dialect."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgellm.errors import UsageError
from edgellm.server.dialects.anthropic.requests import MessagesRequest
from edgellm.server.dialects.anthropic.translation import chat_request
from edgellm.server.generation.request import ChatRequest, NamedTool

WEATHER = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object"}}


def chat(messages: list[Any], **more: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 7, "messages": messages, **more}
    return chat_request(msgspec.convert(body, MessagesRequest), "scope")


def say(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_a_call_and_its_result_become_turns_that_templates_know() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}}
    thought = {"type": "thinking", "thinking": "Look it up.", "signature": "x"}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "Sunny"}]}
    request = chat(
        [
            say("Weather in Rome?"),
            {"role": "assistant", "content": [thought, {"type": "text", "text": "A moment."}, call]},
            {"role": "user", "content": [result, {"type": "text", "text": "Thanks!"}]},
        ],
        tools=[WEATHER],
    )
    function = {"name": "weather", "arguments": {"city": "Rome"}}
    assert request.messages == (
        {"role": "user", "content": "Weather in Rome?"},
        {
            "role": "assistant",
            "content": "A moment.",
            "reasoning_content": "Look it up.",
            "tool_calls": [{"id": "t1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "Sunny", "tool_call_id": "t1", "name": "weather"},
        {"role": "user", "content": "Thanks!"},
    )
    parameters = {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}
    assert request.tools == ({"type": "function", "function": parameters},)


def test_a_result_that_is_an_error_says_so_to_the_model() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "weather"}
    failed = {"type": "tool_result", "tool_use_id": "t1", "content": "no network", "is_error": True}
    messages = [say("?"), {"role": "assistant", "content": [call]}, {"role": "user", "content": [failed]}]
    assert chat(messages).messages[-1]["content"] == "Error: no network"


def test_turns_of_one_role_that_follow_each_other_are_one() -> None:
    assert chat([say("One."), say("Two.")]).messages == ({"role": "user", "content": "One.\nTwo."},)


def test_text_documents_and_search_results_are_read() -> None:
    document = {
        "type": "document",
        "title": "Notes",
        "source": {"type": "text", "media_type": "t", "data": "It rained."},
    }
    found = {"type": "search_result", "title": "T", "source": "S", "content": [{"type": "text", "text": "It snowed."}]}
    (message,) = chat([{"role": "user", "content": [document, found]}]).messages
    assert message["content"] == "Notes\nIt rained.\nT\nS\nIt snowed."


def test_a_document_that_is_no_text_is_refused() -> None:
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
    with pytest.raises(UsageError, match="base64"):
        chat([{"role": "user", "content": [document]}])


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        (None, "auto", True),
        ({"type": "auto", "disable_parallel_tool_use": True}, "auto", False),
        ({"type": "any"}, "required", True),
        ({"type": "tool", "name": "weather"}, NamedTool("weather"), True),
        ({"type": "none"}, "none", True),
    ],
)
def test_tool_choices_have_their_counterparts(choice: Any, expected: object, parallel: bool) -> None:
    request = chat([say("?")], tools=[WEATHER], tool_choice=choice)
    assert (request.tool_choice, request.parallel_tool_calls) == (expected, parallel)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, False),
        ({"thinking": {"type": "disabled"}}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, True),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "high"),
        ({"thinking": {"type": "enabled"}, "output_config": {"effort": "low"}}, "low"),
    ],
)
def test_thinking_is_off_unless_it_is_asked_for(asked: dict[str, Any], expected: object) -> None:
    assert chat([say("?")], **asked).thinking == expected


def test_only_what_is_said_is_handed_on() -> None:
    options = chat([say("?")], temperature=0.5, stop_sequences=["END"]).options
    assert options.sampling == {"max_tokens": 7, "temperature": 0.5}
    assert (options.stop, options.scope, options.grammar) == (("END",), "scope", None)
