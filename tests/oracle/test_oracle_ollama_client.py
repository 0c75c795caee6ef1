"""The official `ollama` package and LangChain's ChatOllama, as they are, against our server."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_process import Cli
from hub_server import HubServer
from server_process import RunningServer, running_server

ollama = pytest.importorskip("ollama")

pytestmark = pytest.mark.oracle

MODEL = "tiny-llm"
FULL = "tiny-llm:raspberrypi5-q4_k_m"
GREEDY = {"temperature": 0, "num_predict": 12}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}


@pytest.fixture(scope="module")
def running(packed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over a copy of ``packed_home``, with a hub that has the same model as a GGUF file."""
    folder = tmp_path_factory.mktemp("ollama-client")
    shutil.copytree(packed_home / "store", folder / "home" / "store")
    files = folder / "hub" / "acme" / "tiny-llm-GGUF"
    files.mkdir(parents=True)
    (files / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    shutil.copyfile(Cli(packed_home).json("show", MODEL)["weights_path"], files / "tiny-llm-Q4_K_M.gguf")
    with HubServer(folder / "hub") as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "EDGELLM_DEVICE": "raspberrypi5"}
        with running_server(folder / "home", folder / "log", environment=environment) as server:
            yield server


@pytest.fixture
def client(running: RunningServer) -> Iterator[Any]:
    found = ollama.Client(host=running.url, timeout=120, trust_env=False)
    yield found
    found._client.close()  # or its connection is a warning of a later test


def close(model: Any) -> None:
    """Close the connections of a model of LangChain."""
    model._client._client.close()


def messages(text: str = "Tell me about the sea.") -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_chat_whole_and_streamed(client: Any) -> None:
    whole = client.chat(MODEL, messages=messages(), options=GREEDY)
    parts = list(client.chat(MODEL, messages=messages(), options=GREEDY, stream=True))
    assert whole.message.role == "assistant"
    assert whole.message.content == "".join(part.message.content for part in parts) != ""
    assert (whole.done, whole.done_reason, whole.eval_count) == (True, "length", 12)
    assert parts[-1].total_duration > 0


def test_generate_with_context_and_logprobs(client: Any) -> None:
    first = client.generate(MODEL, "The sea", options=GREEDY, logprobs=True, top_logprobs=2)
    assert "".join(entry.token for entry in first.logprobs) == first.response
    assert len(first.logprobs[0].top_logprobs) == 2
    second = client.generate(MODEL, "And then?", context=first.context, options=GREEDY)
    assert list(second.context)[: len(first.context)] == list(first.context)


def test_a_schema_as_the_format(client: Any) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    found = client.chat(MODEL, messages=messages(), format=schema, options={"num_predict": 60, "temperature": 0})
    assert isinstance(json.loads(found.message.content)["ok"], bool)


def test_tools_and_their_results_are_taken(client: Any) -> None:
    called = [{"function": {"name": "weather", "arguments": {"place": "Rome"}}}]
    history = [
        *messages("What is the weather in Rome?"),
        {"role": "assistant", "content": "", "tool_calls": called},
        {"role": "tool", "content": "sunny", "tool_name": "weather"},
    ]
    found = client.chat(MODEL, messages=history, tools=[WEATHER], options=GREEDY)
    assert found.message.content or found.message.tool_calls


def test_embeddings(client: Any) -> None:
    found = client.embed(MODEL, ["The sea.", "A ship."])
    assert len(found.embeddings) == 2
    assert sum(value * value for value in found.embeddings[0]) == pytest.approx(1, abs=1e-4)
    assert client.embeddings(MODEL, "The sea.").embedding == pytest.approx(found.embeddings[0], abs=1e-6)


def test_list_show_and_ps(client: Any) -> None:
    assert FULL in [model.model for model in client.list().models]
    shown = client.show(MODEL)
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.capabilities == ["completion"]
    assert shown.details.quantization_level == "Q4_K_M"
    client.generate(MODEL, options=GREEDY)
    assert FULL in [model.name for model in client.ps().models]


def test_copy_create_and_delete(client: Any) -> None:
    assert client.copy(MODEL, "second").status == "success"
    said = [
        part.status
        for part in client.create(
            "pirate", from_="second", system="You are a pirate.", parameters={"temperature": 0}, stream=True
        )
    ]
    assert said[-1] == "success"
    assert "You are a pirate." in client.show("pirate").modelfile
    assert client.chat("pirate", messages=messages(), options={"num_predict": 3}).eval_count == 3
    for name in ("pirate", "second"):
        assert client.delete(name).status == "success"
    assert [model.model for model in client.list().models if model.model.startswith(("pirate", "second"))] == []


def test_a_blob_becomes_a_model(client: Any, packed_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    shutil.copyfile(Cli(packed_home).json("show", MODEL)["weights_path"], file)
    digest = client.create_blob(file)
    assert client.create("own", files={"model.gguf": digest}, stream=False).status == "success"
    assert client.generate("own", "The sea", options=GREEDY).done
    client.delete("own")


def test_pull_with_progress(client: Any) -> None:
    parts = list(client.pull("acme/tiny-llm-GGUF:Q4_K_M", stream=True))
    assert parts[0].status == "pulling manifest"
    assert parts[-1].status == "success"
    assert client.pull("acme/tiny-llm-GGUF:Q4_K_M").status == "success"


def test_errors_are_those_of_the_package(client: Any) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as caught:
        client.chat("nope", messages=messages())
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="acme/nothing"):
        list(client.pull("acme/nothing", stream=True))
    with pytest.raises(ollama.ResponseError) as pushed:
        client.push(MODEL)
    assert pushed.value.status_code == 501


def test_the_asynchronous_client(running: RunningServer) -> None:
    async def talk() -> tuple[list[str], Any]:
        client = ollama.AsyncClient(host=running.url, timeout=120, trust_env=False)
        several = [client.chat(MODEL, messages=messages(), options=GREEDY) for _ in range(3)]
        answers = await asyncio.gather(*several)
        parts = [part async for part in await client.generate(MODEL, "The sea", options=GREEDY, stream=True)]
        await client._client.aclose()
        return [answer.message.content for answer in answers], parts

    answers, parts = asyncio.run(talk())
    assert len(set(answers)) == 1
    assert parts[-1].done


def test_langchain(running: RunningServer) -> None:
    langchain_ollama = pytest.importorskip("langchain_ollama")
    options = {"base_url": running.url, "temperature": 0, "num_predict": 12, "client_kwargs": {"trust_env": False}}
    chat = langchain_ollama.ChatOllama(model=FULL, validate_model_on_init=True, **options)
    answer = chat.invoke("Tell me about the sea.")
    assert answer.content
    assert answer.usage_metadata["output_tokens"] == 12
    assert "".join(str(part.content) for part in chat.stream("Tell me about the sea.")) == answer.content
    schema = {"title": "Sea", "type": "object", "properties": {"deep": {"type": "boolean"}}, "required": ["deep"]}
    close(chat)
    base = langchain_ollama.ChatOllama(model=FULL, **{**options, "num_predict": 60})
    structured = base.with_structured_output(schema, method="json_schema")
    assert isinstance(structured.invoke("Is the sea deep?")["deep"], bool)
    close(base)
    embedder = langchain_ollama.OllamaEmbeddings(model=FULL, base_url=running.url, client_kwargs={"trust_env": False})
    assert len(embedder.embed_documents(["The sea.", "A ship."])) == 2
    close(embedder)
    unknown = langchain_ollama.ChatOllama(model="nope", **options)
    with pytest.raises(ollama.ResponseError):
        unknown.invoke("a")
    close(unknown)
