from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import RunningServer, running_server


@pytest.fixture(scope="session", params=["packed_home", "packed_onnx_home"], ids=["gguf", "onnx"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over a home with a model of each format, shared by all tests of a worker: they leave its store and
    settings alone."""
    home: Path = request.getfixturevalue(request.param)
    with running_server(home, tmp_path_factory.mktemp("server") / "log") as running:
        yield running
