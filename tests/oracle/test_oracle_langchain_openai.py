"""LangChain's ChatOpenAI, unpatched, against a running server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

from server_process import RunningServer

pytestmark = pytest.mark.oracle


class GetWeather(BaseModel):
    """Tells the weather of a city."""

    days: int


class Verdict(BaseModel):
    """A verdict."""

    fair: bool


@pytest.fixture
def model(server: RunningServer) -> ChatOpenAI:
    return ChatOpenAI(
        model="tiny-llm", base_url=f"{server.url}/v1", api_key=SecretStr("none"), max_retries=0, temperature=0
    )


def test_invoke_stream_and_batch(model: ChatOpenAI) -> None:
    short: Any = model.bind(max_completion_tokens=8)
    whole = short.invoke("Hello")
    assert whole.usage_metadata["output_tokens"] == 8
    assert "".join(chunk.content for chunk in short.stream("Hello")) == whole.content
    assert [answer.content for answer in short.batch(["Hello", "Hello"])] == [whole.content] * 2
    assert asyncio.run(short.ainvoke("Hello")).content == whole.content


def test_tools(model: ChatOpenAI) -> None:
    pytest.importorskip("llguidance")
    bound = model.bind_tools([GetWeather], tool_choice="GetWeather", parallel_tool_calls=False)
    (call,) = bound.invoke("Weather?").tool_calls  # type: ignore[attr-defined]
    assert call["name"] == "GetWeather"
    assert isinstance(call["args"]["days"], int)
    pieces = [piece for chunk in bound.stream("Weather?") for piece in chunk.tool_call_chunks]  # type: ignore[attr-defined]
    assert isinstance(json.loads("".join(piece["args"] for piece in pieces))["days"], int)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(model: ChatOpenAI, method: Any) -> None:
    pytest.importorskip("llguidance")
    assert isinstance(model.with_structured_output(Verdict, method=method).invoke("Is it?"), Verdict)


def test_the_responses_api(server: RunningServer) -> None:
    model = ChatOpenAI(
        model="tiny-llm", base_url=f"{server.url}/v1", api_key=SecretStr("none"), max_retries=0,
        use_responses_api=True, max_tokens=8, temperature=0,
    )  # type: ignore[call-arg]  # fmt: skip
    assert model.invoke("Hello").text


def test_embeddings(server: RunningServer) -> None:
    embeddings = OpenAIEmbeddings(
        model="tiny-llm", base_url=f"{server.url}/v1", api_key=SecretStr("none"), check_embedding_ctx_length=False
    )
    vectors = embeddings.embed_documents(["One text", "another"])
    assert [len(vector) for vector in vectors] == [256, 256]
