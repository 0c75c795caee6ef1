"""LoRA adapters by their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_requests import ask

from cli_process import Cli
from peft_parts import make_adapter, read_checkpoint
from server_process import RunningServer, running_server

PROMPT: dict[str, Any] = {"prompt": "Once upon a time", "temperature": 0, "max_tokens": 8}


@pytest.fixture(scope="module")
def adapted(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose model has the adapter `poems`."""
    folder = tmp_path_factory.mktemp("adapted")
    make_adapter(folder / "poems", read_checkpoint(tiny_llm), seed=5)
    words = ["--adapter", f"poems={folder / 'poems'}"]
    Cli(folder / "home").run("pack", tiny_llm, "--device", "raspberrypi", "--quant", "Q4_K_M", *words)
    with running_server(folder / "home", folder / "log") as running:
        yield running


def test_an_adapter_changes_the_answer_as_strongly_as_it_is_told_to(adapted: RunningServer) -> None:
    def text(*adapters: Any) -> str:
        return str(ask(adapted, "/v1/completions", **PROMPT, adapters=adapters)["choices"][0]["text"])

    plain = text()
    assert text({"name": "poems"}) != plain
    assert text({"name": "poems", "scale": 0.0}) == plain
    assert text({"name": "poems"}) == text({"name": "poems", "scale": 1.0})


def test_an_adapter_changes_vectors(adapted: RunningServer) -> None:
    (plain,) = ask(adapted, "/v1/embeddings", input="Hello")["data"]
    (other,) = ask(adapted, "/v1/embeddings", input="Hello", adapters=[{"name": "poems"}])["data"]
    assert plain["embedding"] != other["embedding"]
