"""Chats over one real server with two small models, one of which answers for as long as a test wants."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_rig import RealChats, ScriptedServer, scripted_server

from cli_process import Cli
from server_process import RunningServer, running_server

ENDLESS_CONTEXT = 16384


@pytest.fixture(scope="session")
def two_models(packed_home: Path, tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store has tiny-llm, and the same weights as `endless` with room for an answer of many seconds.

    Not to be changed by tests.
    """
    home = tmp_path_factory.mktemp("two-models")
    shutil.copytree(packed_home / "store", home / "store")
    folder = tmp_path_factory.mktemp("checkpoint") / "endless"
    shutil.copytree(tiny_llm, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2 * ENDLESS_CONTEXT}))
    room = ("--context", str(ENDLESS_CONTEXT), "--sequences", "2")
    Cli(home).run("pack", folder, "--device", "raspberrypi", "--quant", "Q8_0", *room)
    return home


@pytest.fixture(scope="session")
def chat_server(two_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over ``two_models``, shared by all tests of a worker."""
    with running_server(two_models, tmp_path_factory.mktemp("chat-server") / "log") as running:
        yield running


@pytest.fixture
def empty_home(tmp_path: Path) -> Path:
    """A home without any model."""
    return tmp_path / "empty"


@pytest.fixture
def empty_server(empty_home: Path, tmp_path: Path) -> Iterator[RunningServer]:
    """A server that has nothing to serve."""
    empty_home.mkdir()
    with running_server(empty_home, tmp_path / "empty-log") as running:
        yield running


@pytest.fixture
def chats(two_models: Path, chat_server: RunningServer, tmp_path: Path) -> RealChats:
    """Chats of a test's own over ``chat_server``."""
    return RealChats(two_models, tmp_path / "home" / "state", chat_server)


@pytest.fixture
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    """A server that says what a test tells it to."""
    with scripted_server(tmp_path_factory.mktemp("s")) as server:
        yield server
