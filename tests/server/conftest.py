from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_process import Cli
from server_process import RunningServer, running_server


@pytest.fixture
def own_server(own_home: Path, tmp_path: Path) -> Iterator[RunningServer]:
    """A server over ``own_home``."""
    with running_server(own_home, tmp_path / "log") as running:
        yield running


@pytest.fixture(scope="session")
def hub_root(packed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a hub with acme/tiny-llm-GGUF, whose file no store has yet."""
    root = tmp_path_factory.mktemp("hub")
    files = root / "acme" / "tiny-llm-GGUF"
    files.mkdir(parents=True)
    (files / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    weights = Cli(packed_home).json("show", "tiny-llm")["weights_path"]
    shutil.copyfile(weights, files / "tiny-llm-Q4_K_M.gguf")
    return root
