"""A decoder that was trained to look ahead: an encoder, though llama.cpp keeps a cache for its architecture."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from backends import open_encoder, write_gguf_file
from cli_process import Cli
from edgellm.errors import MissingAbilityError
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.load import LoadRequest

TEXT = [1, 50, 60, 70, 80, 90]


@pytest.fixture(scope="module")
def model(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bidirectional")
    shutil.copytree(tiny_llm, folder / "model")
    config = json.loads((folder / "model" / "config.json").read_text())
    (folder / "model" / "config.json").write_text(json.dumps(config | {"is_causal": False}))
    return write_gguf_file(folder / "model", folder / "model.gguf", "F16")


def test_every_token_knows_the_whole_text_and_nothing_of_other_texts(model: Path) -> None:
    backend = open_encoder(model, BackendSettings(context=64, spare_sequences=3))
    try:
        first = backend.hidden_states([TokenSlice(0, TEXT)]).copy()
        again = backend.hidden_states([TokenSlice(2, [5] * 9), TokenSlice(1, TEXT)])[9:].copy()
        other = backend.hidden_states([TokenSlice(0, [*TEXT[:-1], 91])]).copy()
    finally:
        backend.close()
    assert np.allclose(first, again, atol=2e-2)
    assert not np.allclose(first[0], other[0], atol=2e-2), "the first token sees the last one"


def test_it_embeds_and_does_not_generate(model: Path) -> None:
    async def main() -> None:
        async with await Engine.load(LoadRequest(model_path=model, context=64, threads=1)) as engine:
            alone = [(await engine.embed([text])).vectors[0] for text in (TEXT, TEXT[:3])]
            together = (await engine.embed([TEXT, TEXT[:3]] * 20)).vectors
            assert (together * np.tile(np.stack(alone), (20, 1))).sum(axis=1).min() > 0.999
            with pytest.raises(MissingAbilityError):
                await anext(engine.generate("Once"))

    asyncio.run(main())


def test_a_pack_knows_it(tiny_llm: Path, tmp_path: Path, cli: Cli) -> None:
    shutil.copytree(tiny_llm, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"is_causal": False}))
    said = cli.run("pack", tmp_path / "model", "-d", "raspberrypi5", "--format", "onnx", status=1).stderr
    assert "looks ahead" in said
    [bundle] = cli.json("pack", tmp_path / "model", "-d", "raspberrypi5", "--format", "gguf", "--context", "64")
    assert bundle["plan"]["encoder"]["dimensions"] == len(cli.json("embed", "model", "a")["embeddings"][0]["vector"])
    assert "is an encoder" in cli.run("run", "model", "a", status=1).stderr
