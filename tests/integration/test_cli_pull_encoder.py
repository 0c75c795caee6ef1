"""Encoders of a hub: the files in subfolders say how they pool, and GGUF files are chosen like any others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_cli import HubCli, leftovers

from cli_process import Cli
from hub_server import HubServer

CHECKPOINT, GGUF = "acme/tiny-bert", "acme/tiny-bert-GGUF"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bert_checkpoint import make_bert

    root = tmp_path_factory.mktemp("hub")
    make_bert(root / CHECKPOINT, pooling="cls")
    (root / GGUF).mkdir(parents=True)
    (root / GGUF / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    packer = Cli(tmp_path_factory.mktemp("packer"))
    for quant in ("F16", "Q8_0"):
        packer.run("pack", root / CHECKPOINT, "-d", "raspberrypi5", "--quant", quant, "--name", f"bert:{quant}")
        shutil.copyfile(packer.json("show", f"bert:{quant}")["weights_path"], root / GGUF / f"tiny-bert-{quant}.gguf")
    return root


@pytest.fixture
def client(repositories: Path, tmp_path: Path) -> Iterator[HubCli]:
    with HubServer(repositories) as server:
        yield HubCli(tmp_path / "home", server.url)


@pytest.mark.parametrize("to_format", ["gguf", "onnx"])
def test_a_checkpoint_comes_with_what_lies_in_its_folders(client: HubCli, to_format: str) -> None:
    found = client.json("fit", CHECKPOINT, "--format", to_format)
    assert (found["context"], found["choice"] in ("Q8_0", "INT8_128")) == (48, True)
    client.run("pack", CHECKPOINT, "--format", to_format)
    plan = client.json("show", "tiny-bert")["plan"]
    assert plan["encoder"] == {"dimensions": 64, "normalised": True, "pooling": "cls"}
    assert {"1_Pooling/config.json", "modules.json"} <= set(plan["source"]["files"])
    assert leftovers(client) == []
    assert client.json("embed", "tiny-bert", "hello")["pooling"] == "cls"


def test_gguf_files_are_chosen_by_their_headers(client: HubCli) -> None:
    assert client.json("fit", GGUF)["choice"] == "Q8_0"
    client.run("pull", GGUF, "--yes")
    shown = client.json("show", "tiny-bert")
    assert shown["plan"]["encoder"] == {"dimensions": 64, "pooling": "cls"}
    assert len(client.json("embed", "tiny-bert", "hello")["embeddings"][0]["vector"]) == 64
