"""A store that cannot be read: clients are told so without the paths of this machine, and the log has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgellm.paths import user_paths
from edgellm.server.http.concealing import Concealer
from server_process import running_server

HELLO = [{"role": "user", "content": "Hello"}]
MODEL = {"model": "tiny-llm"}
ASKED: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/tiny-llm", None),
    ("POST", "/v1/chat/completions", MODEL | {"messages": HELLO, "max_tokens": 1}),
    ("POST", "/v1/chat/completions", MODEL | {"messages": HELLO, "max_tokens": 1, "stream": True}),
    ("POST", "/v1/messages", MODEL | {"messages": HELLO, "max_tokens": 1}),
    ("POST", "/api/chat", MODEL | {"messages": HELLO}),
    ("POST", "/api/show", MODEL),
    ("GET", "/api/tags", None),
    ("POST", "/completion", {"prompt": "Hello", "n_predict": 1}),
    ("GET", "/api/edgellm/models", None),
    ("POST", "/api/edgellm/show", MODEL),
    ("POST", "/api/edgellm/run", MODEL | {"prompt": "Hello"}),
    ("GET", "/health", None),
]


def index_is_a_folder(store: Path) -> None:
    (store / "index.json").unlink()
    (store / "index.json").mkdir()


def index_is_gone(store: Path) -> None:
    (store / "index.json").unlink()


def blobs_are_folders(store: Path) -> None:
    for blob in (store / "blobs" / "sha256").iterdir():
        blob.unlink()
        blob.mkdir()


def weights_are_gone(store: Path) -> None:
    max((store / "blobs" / "sha256").iterdir(), key=lambda blob: blob.stat().st_size).unlink()


@pytest.mark.parametrize("damage", [index_is_a_folder, index_is_gone, blobs_are_folders, weights_are_gone])
def test_no_answer_names_a_path(own_home: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(own_home / "store")
    with running_server(own_home, tmp_path / "log") as running, running.client() as client:
        answers = [client.request(method, path, json=body) for method, path, body in ASKED]
    failed = [answer for answer in answers if answer.status_code >= 400]
    assert failed
    for answer in answers:
        assert str(own_home) not in answer.text, (answer.request.url, answer.text)


def test_the_folder_has_a_name_and_the_log_its_path(own_home: Path, tmp_path: Path) -> None:
    index_is_a_folder(own_home / "store")
    with running_server(own_home, tmp_path / "log") as running, running.client() as client:
        answer = client.get("/v1/models/tiny-llm")
    assert "(store)/index.json" in answer.json()["error"]["message"]
    assert f"{own_home}/store/index.json" in (tmp_path / "log").read_text()


def test_only_whole_names_of_folders_are_replaced() -> None:
    conceal = Concealer(user_paths({"EDGELLM_HOME": "/srv/e"}), Path("/srv/e/store"))
    assert conceal.text("cannot read /srv/e/store/x: no") == "cannot read (store)/x: no"
    assert conceal.text("/srv/e/store") == "(store)"
    assert conceal.text("/srv/e/stores/x and /srv/e/store-2") == "/srv/e/stores/x and /srv/e/store-2"
    assert conceal.text("/srv/e/state/jobs") == "(state)/jobs"


HEALTHY = [
    *ASKED,
    ("POST", "/api/edgellm/embed", MODEL | {"texts": ["Hello"]}),
    ("POST", "/api/edgellm/fit", {"source": "tiny-llm"}),
    ("POST", "/api/edgellm/load", MODEL),
    ("POST", "/api/edgellm/verify", MODEL),
    ("GET", "/api/edgellm/ps", None),
    ("GET", "/api/edgellm/jobs", None),
    ("GET", "/api/edgellm/devices", None),
    ("GET", "/api/edgellm/device", None),
    ("GET", "/api/edgellm/statistics", None),
    ("GET", "/api/ps", None),
    ("GET", "/props", None),
    ("GET", "/slots", None),
    ("GET", "/metrics", None),
]


def test_no_answer_of_a_server_that_is_well_names_a_path(own_home: Path, tmp_path: Path) -> None:
    with running_server(own_home, tmp_path / "log") as running, running.client() as client:
        answers = [client.request(method, path, json=body) for method, path, body in HEALTHY]
    assert sum(answer.status_code == 200 for answer in answers) >= len(HEALTHY) - 2
    for answer in answers:
        assert str(own_home) not in answer.text, (answer.request.url, answer.text)
        assert "blobs/sha256" not in answer.text, (answer.request.url, answer.text)
