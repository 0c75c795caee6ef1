"""Embeddings against transformers' hidden states after the last norm, and against those that llama-server gives."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import oracle_tools
import pytest
from convert_cases import CASES, make_checkpoint, pack
from numpy.typing import NDArray

from edgellm_runtimes.backend import BackendSettings, Pooling
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.llama_cpp.model import LlamaBackend
from edgellm_runtimes.load import info_of

pytestmark = pytest.mark.oracle

TEXTS = (
    "Friends, Romans, countrymen, lend me your ears.",
    "x",
    "def main():\n    print('Grüße 🎉')\n",
    "The history of the city began with a river, a bridge and a market that was held twice a week. " * 4,
)
COSINE = 1e-4


def embed(
    path: Path, texts: list[list[int]] | list[str], pooling: Pooling, **settings: Any
) -> tuple[NDArray[np.float32], list[list[int]]]:
    """Our vectors and the tokens of the texts; exact settings unless others are given."""
    exact = {"kv_type_k": "f32", "kv_type_v": "f32", "flash_attention": False}

    async def main() -> tuple[NDArray[np.float32], list[list[int]]]:
        options = {"context": 256, "sequences": 2, "spare_sequences": 4, "batch": 64, "ubatch": 64, **exact, **settings}
        backend = LlamaBackend(path, BackendSettings(**options))
        async with Engine(backend, info_of(backend, 0.0)) as engine:
            tokens = [engine.tokenize(text) if isinstance(text, str) else text for text in texts]
            return (await engine.embed(texts, pooling=pooling)).vectors, tokens

    return asyncio.run(main())


def reference(model: Any, tokens: list[list[int]], pooling: Pooling) -> NDArray[np.float32]:
    """transformers' vectors, normalised."""
    import torch

    found = []
    for ids in tokens:
        with torch.no_grad():
            states = model.base_model(torch.tensor([ids])).last_hidden_state[0].double().numpy()
        vector = states.mean(axis=0) if pooling == "mean" else states[-1]
        found.append(vector / np.linalg.norm(vector))
    return np.stack(found).astype(np.float32)


def worst(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(1 - (left * right).sum(axis=1).min())


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("case", CASES)
def test_vectors_equal_transformers(case: str, pooling: Pooling, tmp_path: Path) -> None:
    model = make_checkpoint(case, tmp_path / case, seed=7)
    pack(tmp_path / case, "F32", tmp_path / "model.gguf")
    source = np.random.default_rng(5)
    longest = CASES[case].get("sliding_window") or 200  # the plan's context ends there: llama.cpp has no window here
    given = [source.integers(3, 8192, min(length, longest)).tolist() for length in (1, 5, 64, 65, 200)]
    found, _ = embed(tmp_path / "model.gguf", given, pooling)
    difference = worst(found, reference(model, given, pooling))
    print(f"{case}, {pooling}: 1 - cosine at most {difference:.1e}")
    assert difference < COSINE


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_trained_model_equals_transformers(tiny_llm: Path, tmp_path: Path, pooling: Pooling) -> None:
    import transformers

    pack(tiny_llm, "F32", tmp_path / "model.gguf")
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_llm, dtype="float32")
    found, tokens = embed(tmp_path / "model.gguf", list(TEXTS), pooling)
    difference = worst(found, reference(model, tokens, pooling))
    print(f"tiny-llm, {pooling}: 1 - cosine at most {difference:.1e}")
    assert difference < COSINE


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_vectors_equal_llama_server(tiny_gguf: Path, pooling: Pooling, tmp_path: Path) -> None:
    """Each text within one of the server's batches: what goes beyond it, its pooling forgets."""
    if not oracle_tools.is_built(serving=True):
        pytest.skip("llama-server is not built: run `python tests/oracle/build_tools.py --serving`")
    found, _ = embed(tiny_gguf, list(TEXTS), pooling, kv_type_k="f16", kv_type_v="f16", flash_attention=True, threads=1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(oracle_tools.llama_tool("llama-server")), "-m", str(tiny_gguf), "--embeddings", "--pooling", pooling]
    command += ["-c", "256", "-b", "256", "-ub", "256", "-np", "1", "-t", "1", "-fa", "on", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            _wait(server, port, tmp_path / "log")
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/embeddings",
                json.dumps({"input": list(TEXTS), "encoding_format": "float"}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(asked, timeout=60) as response:
                answer = json.load(response)
        finally:
            server.kill()
    expected = np.array([each["embedding"] for each in sorted(answer["data"], key=lambda each: each["index"])])
    difference = worst(found, expected.astype(np.float32))
    print(f"llama-server, {pooling}: 1 - cosine at most {difference:.1e}")
    assert difference < COSINE


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("llama-server did not start")
