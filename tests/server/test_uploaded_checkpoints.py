"""Checkpoints whose files a client sends: those with folders, and servers whose folders are on several disks."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli_process import Cli
from server_process import running_server

OTHER_DISK = Path("/dev/shm")


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    if not OTHER_DISK.is_dir() or OTHER_DISK.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm on another disk than the temporary files")
    with tempfile.TemporaryDirectory(dir=OTHER_DISK) as folder:
        yield Path(folder)


@pytest.fixture
def cls_bert(tiny_bert: Path, tmp_path: Path) -> Path:
    """tiny-bert that takes the first token's state, which only the file in its folder says."""
    folder = tmp_path / "cls-bert"
    for path in tiny_bert.rglob("*"):
        if path.is_file():
            copy = folder / path.relative_to(tiny_bert)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    pooling = {"word_embedding_dimension": 64, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def sent(client: httpx.Client, folder: Path) -> dict[str, str]:
    files = {}
    for path in folder.rglob("*"):
        if path.is_file():
            digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
            client.post(f"/api/blobs/{digest}", content=path.read_bytes()).raise_for_status()
            files[path.relative_to(folder).as_posix()] = digest
    return files


def packed(client: httpx.Client, **order: Any) -> dict[str, Any]:
    answer = client.post("/api/edgellm/jobs", json={"kind": "pack", "devices": ["raspberrypi5"], **order})
    assert answer.status_code == 201, answer.text
    with client.stream("GET", f"/api/edgellm/jobs/{answer.json()['id']}/events") as lines:
        found: dict[str, Any] = [json.loads(line) for line in lines.iter_lines()][-1]
    return found


def test_a_folder_of_sentence_transformers_keeps_its_pooling(tmp_path: Path, cls_bert: Path) -> None:
    home = tmp_path / "home"
    with running_server(home, tmp_path / "log") as server, server.client() as client:
        files = sent(client, cls_bert)
        assert "1_Pooling/config.json" in files
        fit = client.post("/api/edgellm/fit", json={"files": files, "folder": "bert", "device": "raspberrypi5"})
        assert fit.json()["rows"], fit.text
        done = packed(client, files=files, folder="bert", quant="Q8_0", name="bert:sent")
        assert done["state"] == "done", done
        without = {name: digest for name, digest in files.items() if "/" not in name}
        failed = packed(client, files=without, folder="bert", quant="Q8_0", name="bert:torn")
        assert "config.json is missing" in failed["error"]["message"]
    assert Cli(home).json("show", "bert:sent")["plan"]["encoder"]["pooling"] == "cls"


def test_other_disks_for_temporary_files_and_state_will_do(tmp_path: Path, other_disk: Path, tiny_llm: Path) -> None:
    elsewhere = {"TMPDIR": str(other_disk), "EDGELLM_STATE": str(other_disk / "state")}
    with (
        running_server(tmp_path / "home", tmp_path / "log", environment=elsewhere) as server,
        server.client() as client,
    ):
        files = sent(client, tiny_llm)
        fit = client.post("/api/edgellm/fit", json={"files": files, "folder": "tiny", "device": "raspberrypi5"})
        assert fit.json().get("rows"), fit.text
        done = packed(client, files=files, folder="tiny", quant="Q8_0", name="tiny:sent")
        assert done["state"] == "done", done
    assert list((tmp_path / "home" / "store" / ".staging").iterdir()) == []
