"""OpenAI's own Python package, unpatched, against a running server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel

from server_process import RunningServer

pytestmark = pytest.mark.oracle

MODEL = "tiny-llm"
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CLOCK: Any = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        "strict": True,
    },
}


class Verdict(BaseModel):
    """What answers are parsed into."""

    fair: bool
    score: int


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    """It checks every answer against its own types."""
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60, _strict_response_validation=True
    ) as made:
        yield made


@pytest.fixture
def lenient(server: RunningServer) -> Iterator[openai.OpenAI]:
    """It checks nothing, for answers that OpenAI itself gives another type than its package has."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


def test_models(client: openai.OpenAI) -> None:
    (model,) = [card for card in client.models.list() if card.id.startswith(MODEL)]
    assert client.models.retrieve(model.id) == model


def test_a_chat_and_its_stream(client: openai.OpenAI) -> None:
    options: Any = {"model": MODEL, "messages": QUESTION, "max_completion_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**options)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 12
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12


def test_the_stream_helper(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    body = {"regex": "(yes|no), .{3}"}
    with client.chat.completions.stream(model=MODEL, messages=QUESTION, extra_body=body) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content


def test_many_at_once_without_threads(server: RunningServer) -> None:
    async def main() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:

            async def ask(seed: int) -> str:
                stream = await client.chat.completions.create(
                    model=MODEL, messages=QUESTION, max_completion_tokens=8, seed=seed, stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return list(await asyncio.gather(*(ask(seed) for seed in range(8))))

    answers = asyncio.run(main())
    assert all(answers)
    assert len(set(answers)) > 1


def test_tools(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    options: Any = {"model": MODEL, "messages": QUESTION, "tools": [WEATHER, CLOCK], "parallel_tool_calls": False}
    named: Any = {"type": "function", "function": {"name": "get_weather"}}
    message = client.chat.completions.create(**options, tool_choice=named).choices[0].message
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    history: Any = [*QUESTION, message, result]
    after = client.chat.completions.create(model=MODEL, messages=history, tools=[WEATHER], max_completion_tokens=4)
    assert after.choices[0].message.content
    with client.chat.completions.stream(**options, tool_choice="required") as stream:
        final = stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.choices[0].message.tool_calls


def test_several_calls_at_once(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    found = 0
    for seed in range(6):
        answer = client.chat.completions.create(
            model=MODEL, messages=QUESTION, tools=[CLOCK], tool_choice="required", seed=seed, temperature=2, top_p=1,
            max_completion_tokens=200, extra_body={"min_p": 0, "top_k": 0},
        )  # fmt: skip
        calls = answer.choices[0].message.tool_calls or []
        assert len({call.id for call in calls}) == len(calls)
        found = max(found, len(calls))
    assert found > 1


def test_parsed_answers(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    answer = client.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Verdict)
    assert isinstance(answer.choices[0].message.parsed, Verdict)


def test_completions(client: openai.OpenAI, lenient: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=["One", "Two"], max_tokens=4, logprobs=2, n=2)
    assert len(answer.choices) == 4
    assert all(choice.logprobs is not None for choice in answer.choices)
    chunks = list(lenient.completions.create(model=MODEL, prompt=[5, 6, 7], max_tokens=4, stream=True))
    assert chunks[-1].choices[0].finish_reason in ("length", "stop")


def test_logprobs(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION, max_completion_tokens=3, logprobs=True, top_logprobs=2
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [len(entry.top_logprobs) for entry in logprobs.content] == [2, 2, 2]


def test_embeddings_in_both_encodings(client: openai.OpenAI, lenient: openai.OpenAI) -> None:
    coded = lenient.embeddings.create(model=MODEL, input=["One text", "another"])  # asks for base64
    plain = client.embeddings.create(model=MODEL, input=["One text", "another"], encoding_format="float")
    assert len(coded.data) == 2
    assert coded.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    short = client.embeddings.create(model=MODEL, input=[[5, 6], [7]], dimensions=16, encoding_format="float")
    assert {len(entry.embedding) for entry in short.data} == {16}


def test_responses(client: openai.OpenAI) -> None:
    options: Any = {"model": MODEL, "input": "Hello", "max_output_tokens": 8, "temperature": 0}
    whole = client.responses.create(**options)
    assert whole.output_text
    assert whole.usage is not None
    assert whole.usage.output_tokens == 8
    with client.responses.stream(**options) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text


def test_responses_with_tools_and_schemas(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    flat: Any = {"type": "function", **WEATHER["function"]}
    called = client.responses.create(
        model=MODEL, input="Hello", tools=[flat], tool_choice="required", parallel_tool_calls=False
    )
    (call,) = called.output
    assert isinstance(call, ResponseFunctionToolCall)
    history: Any = [
        {"role": "user", "content": "Hello"},
        call,
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    assert client.responses.create(model=MODEL, input=history, tools=[flat], max_output_tokens=4).output
    parsed = client.responses.parse(model=MODEL, input="Hello", text_format=Verdict)
    assert isinstance(parsed.output_parsed, Verdict)


def test_errors_are_the_packages_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=QUESTION)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as off:
        client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=-1)
    assert "temperature is -1" in off.value.message
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "word " * 3000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.InternalServerError) as absent:
        client.images.generate(model=MODEL, prompt="a cat")
    assert absent.value.status_code == 501
