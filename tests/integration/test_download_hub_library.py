"""The real huggingface_hub: the hub of the tests is one for it too, and our snapshots are its snapshots."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from edgellm.errors import IntegrityError, Interrupted
from edgellm.progress import CancelToken, SilentProgress
from edgellm.sources.hub import HubClient, HubFile, HubRepository, HubSettings, parse_hub_reference
from edgellm.sources.snapshot import missing_snapshot_bytes, snapshot
from hub_server import TOKEN, HubServer

pytest.importorskip("huggingface_hub")

SCRIPT = """
import json, sys
import huggingface_hub as hub
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

def refused(repo_id, filename="config.json"):
    try:
        hub.hf_hub_download(repo_id, filename, token=False)
    except (GatedRepoError, RepositoryNotFoundError) as error:
        return type(error).__name__
    return None

info = hub.model_info("own/model", files_metadata=True)
print(json.dumps({
    "snapshot": hub.snapshot_download("own/model"),
    "file": hub.hf_hub_download("own/model", "sub/model.gguf", local_dir=sys.argv[1]),
    "sha": info.sha,
    "lfs": {s.rfilename: s.lfs.sha256 for s in info.siblings if s.lfs},
    "blobs": {s.rfilename: s.blob_id for s in info.siblings if not s.lfs},
    "gated": refused("own/gated"),
    "missing": refused("own/none"),
}))
"""


FETCH = "import huggingface_hub as hub; print(hub.snapshot_download('own/model'))"
SHARED = """
import json, sys
import huggingface_hub as hub

cache = hub.scan_cache_dir()
print(json.dumps({
    "warnings": [str(warning) for warning in cache.warnings],
    "repos": [[repo.repo_id, repo.size_on_disk, repo.nb_files] for repo in cache.repos],
    "snapshot": hub.snapshot_download("own/model", revision=sys.argv[1], local_files_only=True),
}))
"""


class Stopping(SilentProgress):
    """Cancels after ``limit_bytes``."""

    def __init__(self, cancel: CancelToken, limit_bytes: int) -> None:
        self._cancel, self._left_bytes = cancel, limit_bytes

    def advance(self, size_bytes: int) -> None:
        """Count down."""
        self._left_bytes -= size_bytes
        if self._left_bytes <= 0:
            self._cancel.cancel()


@pytest.fixture
def large_model(tmp_path: Path) -> Path:
    """Below tmp_path/root: a repository with a file that arrives in several flushes."""
    model = tmp_path / "root" / "own" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "README.md").write_text("# Model\n")
    (model / "model.safetensors").write_bytes(random.Random(2).randbytes(40 << 20))
    return model


def library(hub: HubServer, home: Path, script: str, *arguments: str) -> str:
    """What a script prints that uses huggingface_hub with ``hub`` and HF_HOME in ``home``."""
    own = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environ = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": TOKEN, **own}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_our_snapshot_is_one_of_the_library_and_goes_on_where_it_stopped(
    large_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    size = (large_model / "model.safetensors").stat().st_size
    with HubServer(tmp_path / "root", bytes_per_s=200 << 20) as hub, HubClient(HubSettings(hub.url)) as client:
        repository = client.repository(parse_hub_reference("own/model"))
        cancel = CancelToken()
        with pytest.raises(Interrupted):
            snapshot(client, repository, repository.files, Stopping(cancel, size // 2), cancel)
        assert missing_snapshot_bytes(repository, repository.files) < size * 3 // 4
        folder = snapshot(client, repository, repository.files, SilentProgress(), CancelToken())
        assert hub.sent_bytes("model.safetensors") < size + (4 << 20)
        assert missing_snapshot_bytes(repository, repository.files) == 0
        found = json.loads(library(hub, tmp_path / "hf", SHARED, repository.revision))
        asked = len(hub.requests)
        assert snapshot(client, repository, repository.files, SilentProgress(), CancelToken()) == folder
        assert len(hub.requests) == asked
    assert found["snapshot"] == str(folder)
    assert found["warnings"] == []
    [(name, size_on_disk, count)] = found["repos"]
    assert (name, count) == ("own/model", 3)
    assert size_on_disk == sum(path.stat().st_size for path in large_model.iterdir())
    for path in large_model.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert not list((tmp_path / "hf").rglob("*.part"))
    assert not list((tmp_path / "hf").rglob("*.journal"))


def test_what_the_library_fetched_is_not_fetched_again(
    large_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with HubServer(tmp_path / "root") as hub, HubClient(HubSettings(hub.url)) as client:
        theirs = library(hub, tmp_path / "hf", FETCH)
        sent = hub.sent_bytes()
        repository = client.repository(parse_hub_reference("own/model"))
        folder = snapshot(client, repository, repository.files, SilentProgress(), CancelToken())
        assert hub.sent_bytes() == sent
    assert str(folder) == theirs.strip()


def test_a_path_that_leaves_the_snapshot_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    digest = hashlib.sha256(b"x").hexdigest()
    for path in ("../escape", "a/../../escape", "/escape"):
        file = HubFile(path, 1, digest, None, "http://127.0.0.1:9/x")
        repository = HubRepository("own/model", "0" * 40, (file,), "http://127.0.0.1:9/own/model")
        blobs = tmp_path / "hf" / "hub" / "models--own--model" / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        (blobs / digest).write_bytes(b"x")
        with (
            HubClient(HubSettings("http://127.0.0.1:9")) as client,
            pytest.raises(IntegrityError, match="no path inside"),
        ):
            snapshot(client, repository, [file], SilentProgress(), CancelToken())
    assert not list(tmp_path.rglob("escape"))


def test_the_real_library_downloads_from_it_and_sees_what_we_see(tmp_path: Path) -> None:
    model = tmp_path / "root" / "own" / "model"
    (model / "sub").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "sub" / "model.gguf").write_bytes(random.Random(1).randbytes(200_000))
    (tmp_path / "root" / "own" / "gated").mkdir()
    (tmp_path / "root" / "own" / "gated" / "config.json").write_text("{}")
    with HubServer(tmp_path / "root", gated=("own/gated",)) as hub:
        found = json.loads(library(hub, tmp_path / "hf", SCRIPT, str(tmp_path / "local")))
        with HubClient(HubSettings(hub.url)) as client:
            ours = client.repository(parse_hub_reference("own/model"))
        assert all("authorization" not in request.headers for request in hub.asked("cdn"))
    for path in ("config.json", "sub/model.gguf"):
        assert (Path(found["snapshot"]) / path).read_bytes() == (model / path).read_bytes()
    assert Path(found["file"]).read_bytes() == (model / "sub" / "model.gguf").read_bytes()
    assert found["sha"] == ours.revision
    assert found["lfs"] == {file.path: file.sha256 for file in ours.files if file.sha256}
    assert found["blobs"] == {file.path: file.git_sha1 for file in ours.files if not file.sha256}
    assert (found["gated"], found["missing"]) == ("GatedRepoError", "RepositoryNotFoundError")
