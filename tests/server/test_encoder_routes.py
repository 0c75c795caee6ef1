"""An encoder in a server: vectors by every route that gives them, and a clear no from all that generate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from server_process import RunningServer

MODEL = "tiny-bert"
TEXTS = ["The cat sat on the mat.", "hello world"]
LONG = "the cat sat on the mat . " * 20
CHAT = [{"role": "user", "content": "hello"}]
SAYS = "encoder, which turns texts into vectors"


def post(server: RunningServer, path: str, body: dict[str, Any], status: int = 200) -> Any:
    with server.client() as client:
        answer = client.post(path, json={"model": MODEL, **body})
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def vectors(bert_server: RunningServer) -> np.ndarray:
    data = post(bert_server, "/v1/embeddings", {"input": TEXTS})["data"]
    return np.array([entry["embedding"] for entry in data])


def test_openai(bert_server: RunningServer, vectors: np.ndarray) -> None:
    assert vectors.shape == (2, 64)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    answer = post(bert_server, "/v1/embeddings", {"input": TEXTS[0], "dimensions": 8})
    assert answer["usage"]["prompt_tokens"] > 5
    cut = vectors[0, :8] / np.linalg.norm(vectors[0, :8])
    assert np.allclose(answer["data"][0]["embedding"], cut, atol=1e-2)
    error = post(bert_server, "/v1/embeddings", {"input": LONG}, 400)["error"]
    assert "the context holds 48" in error["message"]


def test_ollama(bert_server: RunningServer, vectors: np.ndarray) -> None:
    answer = post(bert_server, "/api/embed", {"input": TEXTS})
    assert np.allclose(answer["embeddings"], vectors, atol=1e-2)
    one = post(bert_server, "/api/embeddings", {"prompt": TEXTS[0]})["embedding"]
    assert np.allclose(one, vectors[0], atol=1e-2)
    cut = post(bert_server, "/api/embed", {"input": LONG})
    assert cut["prompt_eval_count"] == 48
    assert "the context holds 48" in post(bert_server, "/api/embed", {"input": LONG, "truncate": False}, 400)["error"]


def test_llama_server(bert_server: RunningServer, vectors: np.ndarray) -> None:
    for path in ("/embedding", "/embeddings"):
        answer = post(bert_server, path, {"content": TEXTS})
        assert np.allclose([entry["embedding"][0] for entry in answer], vectors, atol=1e-2)
    [plain] = post(bert_server, "/embedding", {"content": TEXTS[0], "embd_normalize": -1})
    [long] = plain["embedding"]
    assert not np.isclose(np.linalg.norm(long), 1, atol=1e-2)
    assert np.allclose(long / np.linalg.norm(long), vectors[0], atol=1e-2)


def test_tokens(bert_server: RunningServer) -> None:
    tokens = post(bert_server, "/tokenize", {"content": "playing", "add_special": True})["tokens"]
    assert len(tokens) == 4
    assert post(bert_server, "/detokenize", {"tokens": tokens[1:3]})["content"].strip() == "playing"


def test_ollama_knows_what_it_can_do(bert_server: RunningServer) -> None:
    shown = post(bert_server, "/api/show", {})
    assert shown["capabilities"] == ["embedding"]
    assert shown["details"]["embedding_length"] == 64
    with bert_server.client() as client:
        [row] = client.get("/api/tags").json()["models"]
    assert row["details"]["family"] == "bert"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": CHAT}),
        ("/v1/chat/completions", {"messages": CHAT, "stream": True}),
        ("/v1/completions", {"prompt": "hello"}),
        ("/v1/responses", {"input": "hello"}),
    ],
)
def test_generation_is_refused_as_openai_refuses(bert_server: RunningServer, path: str, body: dict[str, Any]) -> None:
    error = post(bert_server, path, body, 400)["error"]
    assert error["type"] == "invalid_request_error"
    assert SAYS in error["message"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("path", "body"), [("/api/chat", {"messages": CHAT}), ("/api/generate", {"prompt": "hello"})])
def test_generation_is_refused_as_ollama_refuses(
    bert_server: RunningServer, path: str, body: dict[str, Any], stream: bool
) -> None:
    error = post(bert_server, path, {**body, "stream": stream}, 400)["error"]
    assert "does not support generation" in error
    assert SAYS in error


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_generation_is_refused_as_anthropic_refuses(bert_server: RunningServer, path: str) -> None:
    answer = post(bert_server, path, {"messages": CHAT, "max_tokens": 5}, 400)
    assert (answer["type"], answer["error"]["type"]) == ("error", "invalid_request_error")
    assert SAYS in answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/completion", {"prompt": "hello"}),
        ("/apply-template", {"messages": CHAT}),
    ],
)
def test_generation_is_refused_as_llama_server_refuses(
    bert_server: RunningServer, path: str, body: dict[str, Any]
) -> None:
    error = post(bert_server, path, body, 400)["error"]
    assert error["code"] == 400
    assert error["type"] == "invalid_request_error"


def test_generation_is_refused_on_our_own_route(bert_server: RunningServer) -> None:
    error = post(bert_server, "/api/edgellm/run", {"prompt": "hello"}, 400)["error"]
    assert error["kind"] == "MissingAbilityError"
    assert SAYS in error["message"]


def test_the_server_goes_on(bert_server: RunningServer, vectors: np.ndarray) -> None:
    """After all that was refused."""
    with bert_server.client() as client:
        assert client.get("/health").status_code == 200
        props = client.get("/props", params={"model": MODEL}).json()
    assert props["chat_template"] == ""
    again = post(bert_server, "/v1/embeddings", {"input": TEXTS})["data"]
    assert np.allclose([entry["embedding"] for entry in again], vectors, atol=1e-2)


def test_a_context_beyond_the_positions_is_cut_to_them(bert_server: RunningServer, vectors: np.ndarray) -> None:
    """Clients of Ollama ask for the same context of every model."""
    answer = post(bert_server, "/api/embed", {"input": TEXTS, "options": {"num_ctx": 4096}})
    assert np.allclose(answer["embeddings"], vectors, atol=1e-2)
