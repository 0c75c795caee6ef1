from __future__ import annotations

from pathlib import Path

import pytest
from cli_process import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A command line with an empty home."""
    return Cli(tmp_path / "home")


@pytest.fixture(scope="session")
def packed_home(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store holds tiny-llm in Q4_K_M for the Raspberry Pi 5; not to be changed by tests."""
    home = tmp_path_factory.mktemp("packed")
    Cli(home).run("pack", tiny_llm, "--device", "raspberrypi", "--quant", "Q4_K_M")
    return home


@pytest.fixture
def packed(packed_home: Path) -> Cli:
    """A command line over ``packed_home``."""
    return Cli(packed_home)
