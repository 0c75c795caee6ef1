"""The hub of the tests is one for the real huggingface_hub too, so what works against it is no private dialect."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from edgellm.sources.hub import HubClient, HubSettings, parse_hub_reference
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


def test_the_real_library_downloads_from_it_and_sees_what_we_see(tmp_path: Path) -> None:
    model = tmp_path / "root" / "own" / "model"
    (model / "sub").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "sub" / "model.gguf").write_bytes(random.Random(1).randbytes(200_000))
    (tmp_path / "root" / "own" / "gated").mkdir()
    (tmp_path / "root" / "own" / "gated" / "config.json").write_text("{}")
    with HubServer(tmp_path / "root", gated=("own/gated",)) as hub:
        environ = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "local")]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with HubClient(HubSettings(hub.url)) as client:
            ours = client.repository(parse_hub_reference("own/model"))
        assert all("authorization" not in request.headers for request in hub.asked("cdn"))
    found = json.loads(done.stdout)
    for path in ("config.json", "sub/model.gguf"):
        assert (Path(found["snapshot"]) / path).read_bytes() == (model / path).read_bytes()
    assert Path(found["file"]).read_bytes() == (model / "sub" / "model.gguf").read_bytes()
    assert found["sha"] == ours.revision
    assert found["lfs"] == {file.path: file.sha256 for file in ours.files if file.sha256}
    assert found["blobs"] == {file.path: file.git_sha1 for file in ours.files if not file.sha256}
    assert (found["gated"], found["missing"]) == ("GatedRepoError", "RepositoryNotFoundError")
