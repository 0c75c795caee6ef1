"""A real LoRA adapter, asked for in the form of every dialect: a GGUF bundle computes with it, an ONNX one says no."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_process import Cli
from peft_parts import make_adapter, read_checkpoint
from server_process import RunningServer, running_server

POEMS: list[dict[str, Any]] = [{"name": "poems", "scale": 1.0}]
MESSAGES = [{"role": "user", "content": "Hello"}]
SHORT: dict[str, Any] = {"temperature": 0, "max_tokens": 2}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "openai completion": ("/v1/completions", {"prompt": "Once", **SHORT, "adapters": POEMS}),
    "openai chat": ("/v1/chat/completions", {"messages": MESSAGES, **SHORT, "adapters": POEMS}),
    "openai stream": ("/v1/chat/completions", {"messages": MESSAGES, **SHORT, "adapters": POEMS, "stream": True}),
    "openai embeddings": ("/v1/embeddings", {"input": "Hello", "adapters": POEMS}),
    "llama.cpp completion": ("/completion", {"prompt": "Once", "n_predict": 2, "lora": [{"id": 0, "scale": 1.0}]}),
    "llama.cpp scales": ("/lora-adapters", [{"id": 0, "scale": 0.5}]),
    "own embeddings": ("/api/edgellm/embed", {"texts": ["Hello"], "adapters": POEMS}),
    "own answer": (
        "/api/edgellm/run",
        {"prompt": "Once", "sampling": {"max_tokens": 2}, "options": {"adapters": POEMS}},
    ),
}


@pytest.fixture(scope="module")
def adapter(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEFT folder that fits the model."""
    folder = tmp_path_factory.mktemp("poems")
    make_adapter(folder, read_checkpoint(tiny_llm), seed=5)
    return folder


@pytest.fixture(scope="module", params=["gguf", "onnx"])
def formatted(
    request: pytest.FixtureRequest, tiny_llm: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, RunningServer]]:
    """The format of the only model, which has the adapter where it can, and its server."""
    folder = tmp_path_factory.mktemp(str(request.param))
    words = ["--quant", "Q4_0", "--adapter", f"poems={adapter}"]
    if request.param == "onnx":
        words = ["--quant", "INT4_32"]
    cli = Cli(folder / "home")
    cli.run("pack", tiny_llm, "--device", "local", "--format", request.param, "--name", "tiny-llm", *words)
    with running_server(folder / "home", folder / "log") as running:
        yield str(request.param), running


@pytest.mark.parametrize("form", ASKED)
def test_an_adapter_is_used_or_refused_in_the_form_of_the_dialect(
    formatted: tuple[str, RunningServer], form: str
) -> None:
    to_format, server = formatted
    path, body = ASKED[form]
    with server.client() as client:
        asked = body if isinstance(body, list) else {"model": "tiny-llm", **body}
        answer = client.post(path, json=asked, timeout=60)
        again = client.post("/v1/completions", json={"model": "tiny-llm", "prompt": "Once", **SHORT}, timeout=60)
    assert again.status_code == 200, "a refusal leaves the model as it was"
    if to_format == "gguf":
        assert answer.status_code == 200, answer.text
        return
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert "adapter" in error["message"]
    assert error.get("type") or error.get("kind"), "a client can tell it apart without reading"


def test_an_onnx_bundle_is_not_made_with_an_adapter(
    formatted: tuple[str, RunningServer], tiny_llm: Path, adapter: Path
) -> None:
    to_format, server = formatted
    files = {path.name: path.read_bytes() for path in adapter.iterdir()}
    with server.client() as client:
        digests = {}
        for name, data in files.items():
            digests[name] = f"sha256:{hashlib.sha256(data).hexdigest()}"
            assert client.post(f"/api/blobs/{digests[name]}", content=data).status_code in (200, 201)
        order = {"model": "mine", "from": "tiny-llm", "adapters": digests, "stream": False}
        answer = client.post("/api/create", json=order, timeout=120)
    if to_format == "gguf":
        assert answer.status_code == 200, answer.text
        return
    assert 400 <= answer.status_code < 500, answer.text
    assert "ONNX models have no adapters" in answer.json()["error"]
