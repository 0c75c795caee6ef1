from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_cli import CARD, CHECKPOINT, GGUF, QUANTS, HubCli

from cli_process import Cli
from hub_server import HubServer


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A command line with an empty home."""
    return Cli(tmp_path / "home")


@pytest.fixture
def packed(packed_home: Path) -> Cli:
    """A command line over ``packed_home``."""
    return Cli(packed_home)


@pytest.fixture(scope="session")
def repositories(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of repositories: the checkpoint, and one of GGUF files as publishers arrange them."""
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(tiny_llm, root / CHECKPOINT)
    files = root / GGUF
    files.mkdir(parents=True)
    (files / "README.md").write_text(CARD)
    (files / "mmproj-tiny-llm-f16.gguf").write_bytes(b"GGUF" + bytes(1000))
    packer = Cli(tmp_path_factory.mktemp("packer"))
    for quant in QUANTS:
        packer.run("pack", tiny_llm, "--device", "raspberrypi5", "--quant", quant, "--name", f"tiny:{quant}")
        weights = packer.json("show", f"tiny:{quant}")["weights_path"]
        shutil.copyfile(weights, files / f"tiny-llm-{quant}.gguf")
    return root


@pytest.fixture
def hub(repositories: Path) -> Iterator[HubServer]:
    with HubServer(repositories) as server:
        yield server


@pytest.fixture
def client(hub: HubServer, tmp_path: Path) -> HubCli:
    """A command line with an empty home, and ``hub`` as its hub."""
    return HubCli(tmp_path / "home", hub.url)
