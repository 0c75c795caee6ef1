"""Anthropic's own Python package, unpatched, against a running server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, TextBlock, ToolUseBlock

from server_process import RunningServer

pytestmark = pytest.mark.oracle

MODEL = "tiny-llm"
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
CLOCK: Any = {
    "name": "get_time",
    "description": "Tells the time.",
    "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
}


@pytest.fixture
def client(server: RunningServer) -> Iterator[anthropic.Anthropic]:
    """It checks every answer against its own types."""
    with anthropic.Anthropic(
        base_url=server.url, api_key="none", max_retries=0, timeout=60, _strict_response_validation=True
    ) as made:
        yield made


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, TextBlock))


def test_a_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=12, messages=QUESTION, system="Be short.")
    assert message.stop_reason in ("max_tokens", "end_turn")
    assert text_of(message)
    assert 0 < message.usage.output_tokens <= 12


def test_the_stream_helper_gives_the_same_as_the_whole_message(client: anthropic.Anthropic) -> None:
    options: Any = {"model": MODEL, "max_tokens": 12, "messages": QUESTION, "extra_body": {"temperature": 0}}
    whole = client.messages.create(**options)
    with client.messages.stream(**options) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert text_of(final) == text_of(whole)
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens + (final.usage.cache_read_input_tokens or 0) == whole.usage.input_tokens + (
        whole.usage.cache_read_input_tokens or 0
    )
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert "text" in kinds


def test_raw_events(client: anthropic.Anthropic) -> None:
    kinds = [event.type for event in client.messages.create(model=MODEL, max_tokens=6, messages=QUESTION, stream=True)]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_a_stop_sequence(client: anthropic.Anthropic) -> None:
    options: Any = {"model": MODEL, "max_tokens": 12, "messages": QUESTION, "extra_body": {"temperature": 0}}
    word = text_of(client.messages.create(**options)).split()[1]
    message = client.messages.create(**options, stop_sequences=[word])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", word)


def test_an_answer_goes_on_where_the_assistants_turn_ends(client: anthropic.Anthropic) -> None:
    turns: Any = [*QUESTION, {"role": "assistant", "content": "The capital of France is"}]
    message = client.messages.create(model=MODEL, max_tokens=4, messages=turns)
    assert not text_of(message).startswith("The capital")
    counted = client.messages.count_tokens(model=MODEL, messages=turns).input_tokens
    assert counted == message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_tool_that_must_be_called_is(client: anthropic.Anthropic, choice: Any, stream: bool) -> None:
    options: Any = {
        "model": MODEL,
        "max_tokens": 120,
        "messages": [{"role": "user", "content": "Weather in Paris?"}],
        "tools": [WEATHER],
        "tool_choice": {**choice, "disable_parallel_tool_use": True},
    }
    if stream:
        with client.messages.stream(**options) as events:
            message: Message = events.get_final_message()
    else:
        message = client.messages.create(**options)
    assert message.stop_reason == "tool_use"
    (call,) = [block for block in message.content if isinstance(block, ToolUseBlock)]
    assert call.name == "get_weather"
    assert call.input in ({"city": "Paris"}, {"city": "Rome"})
    assert call.id


def test_the_result_of_a_tool_is_read(client: anthropic.Anthropic) -> None:
    turns: Any = [{"role": "user", "content": "Weather in Paris?"}]
    called = client.messages.create(
        model=MODEL,
        max_tokens=120,
        messages=turns,
        tools=[WEATHER, CLOCK],
        tool_choice={"type": "tool", "name": "get_weather"},
    )
    (call, *_) = [block for block in called.content if isinstance(block, ToolUseBlock)]
    turns += [
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Sunny, 21 °C"}]},
    ]
    for other in [block for block in called.content if isinstance(block, ToolUseBlock)][1:]:
        turns[-1]["content"].append({"type": "tool_result", "tool_use_id": other.id, "content": "-"})
    final = client.messages.create(
        model=MODEL, max_tokens=8, messages=turns, tools=[WEATHER, CLOCK], tool_choice={"type": "none"}
    )
    assert final.stop_reason in ("max_tokens", "end_turn")
    assert not any(isinstance(block, ToolUseBlock) for block in final.content)


def test_structured_output(client: anthropic.Anthropic) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    message = client.messages.create(
        model=MODEL,
        max_tokens=60,
        messages=QUESTION,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert json.loads(text_of(message))["city"] in ("Paris", "Rome")


def test_thinking_is_accepted_by_a_model_that_cannot(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model=MODEL, max_tokens=2000, messages=QUESTION, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    assert message.content


def test_counting_tokens(client: anthropic.Anthropic) -> None:
    bare = client.messages.count_tokens(model=MODEL, messages=QUESTION).input_tokens
    assert 5 < bare < client.messages.count_tokens(model=MODEL, messages=QUESTION, tools=[WEATHER]).input_tokens


def test_models(client: anthropic.Anthropic) -> None:
    models = list(client.models.list())
    assert [model.id.partition("-q4")[0].partition("-int4")[0] for model in models] == ["tiny-llm:raspberrypi5"]
    assert client.models.retrieve(models[0].id).display_name == models[0].id


def test_errors_have_the_packages_classes(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="nobody"):
        client.messages.create(model="nobody", max_tokens=5, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(model=MODEL, max_tokens=0, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError, match="context"):
        client.messages.create(
            model=MODEL, max_tokens=5, messages=[{"role": "user", "content": "word " * 2000}], stream=True
        )


def test_many_at_a_time_with_the_async_client(server: RunningServer) -> None:
    async def ask_all() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0, timeout=60) as client:

            async def one(number: int) -> str:
                turns: Any = [{"role": "user", "content": f"Say {number}"}]
                async with client.messages.stream(model=MODEL, max_tokens=6, messages=turns) as stream:
                    return "".join([text async for text in stream.text_stream])

            return await asyncio.gather(*(one(number) for number in range(6)))

    assert all(asyncio.run(ask_all()))
