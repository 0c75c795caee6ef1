"""Jobs: long work as child processes of the command line."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli_process import Cli
from edgellm.api.orders import PackOrder, PullOrder
from edgellm.server.jobs.commands import command_line
from hub_server import HubServer
from server_process import RunningServer, running_server

JOBS = "/api/edgellm/jobs"


def start(server: RunningServer, status: int = 201, **order: Any) -> dict[str, Any]:
    with server.client() as client:
        answer = client.post(JOBS, json=order)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def end(server: RunningServer, job: dict[str, Any]) -> dict[str, Any]:
    """The job when it has ended."""
    with server.client() as client, client.stream("GET", f"{JOBS}/{job['id']}/events") as answer:
        seen = [json.loads(line) for line in answer.iter_lines()]
    found: dict[str, Any] = seen[-1]
    return found


def act(server: RunningServer, job: dict[str, Any], what: str, status: int = 202) -> dict[str, Any]:
    with server.client() as client:
        answer = client.post(f"{JOBS}/{job['id']}/{what}")
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def events(lines: Iterator[str]) -> Iterator[Any]:
    for line in lines:
        if line:
            yield json.loads(line.removeprefix("data: "))


def until(server: RunningServer, job: dict[str, Any], phase: str) -> None:
    """Return when the job is in ``phase``."""
    with server.client() as client, client.stream("GET", f"{JOBS}/{job['id']}/events") as answer:
        for line in answer.iter_lines():
            if phase in json.loads(line)["phase"]:
                return
    raise AssertionError(f"the job ended without {phase}")


def test_a_job_is_watched_to_its_end_and_kept(own_server: RunningServer) -> None:
    job = start(own_server, kind="verify", name="tiny-llm")
    assert job["state"] in ("queued", "running")
    last = end(own_server, job)
    assert (last["state"], last["error"], last["attempts"]) == ("done", None, 1)
    assert last["result"]["bundles"] == 1
    assert last["ended"] >= last["started"] >= last["created"]
    with own_server.client() as client:
        assert client.get(f"{JOBS}/{job['id']}").json() == last
        assert [one["id"] for one in client.get(JOBS).json()["jobs"]] == [job["id"]]
        assert client.delete(f"{JOBS}/{job['id']}").status_code == 200
        assert client.get(f"{JOBS}/{job['id']}").status_code == 404


def test_an_export_is_fetched_and_imported_elsewhere(own_server: RunningServer, tmp_path: Path) -> None:
    job = end(own_server, start(own_server, kind="export", names=["tiny-llm"]))
    assert job["state"] == "done", job
    with own_server.client() as client:
        archive = client.get(f"{JOBS}/{job['id']}/output").content
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert "oci-layout" in opened.getnames()
    digest = f"sha256:{hashlib.sha256(archive).hexdigest()}"
    with running_server(tmp_path / "other", tmp_path / "other-log") as other:
        missing = end(other, start(other, kind="import", blob=digest))
        assert (missing["state"], missing["error"]["type"]) == ("failed", "NotFoundError")
        with other.client() as client:
            assert client.post(f"/api/blobs/{digest}", content=archive).status_code == 201
        done = end(other, start(other, kind="import", blob=digest, name="moved:one"))
        assert done["state"] == "done", done
        with other.client() as client:
            assert client.get(f"{JOBS}/{done['id']}/output").status_code == 404
            assert [row["name"] for row in client.get("/api/tags").json()["models"]] == ["moved:one"]


def test_a_failed_job_says_why_and_is_tried_again(own_server: RunningServer) -> None:
    job = end(own_server, start(own_server, kind="verify", name="nothing"))
    assert job["state"] == "failed"
    assert job["error"]["type"] == "NotFoundError"
    assert "nothing" in job["error"]["message"]
    assert job["error"]["hint"]
    act(own_server, job, "resume")
    assert end(own_server, job)["attempts"] == 2


def test_one_job_runs_at_a_time_humbly_and_the_next_waits(hub_root: Path, tmp_path: Path) -> None:
    with HubServer(hub_root, bytes_per_s=300_000) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "EDGELLM_DEVICE": "raspberrypi5"}
        with running_server(tmp_path / "home", tmp_path / "log", environment=environment) as server:
            first = start(server, kind="pull", model="acme/tiny-llm-GGUF:Q4_K_M")
            second = start(server, kind="verify")
            until(server, first, "downloading")
            [child] = psutil.Process(server.process.pid).children()
            assert child.nice() == min(19, psutil.Process(server.process.pid).nice() + 15)
            assert child.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
            assert child.rlimit(psutil.RLIMIT_DATA)[0] >= 256 << 20
            assert Path(f"/proc/{child.pid}/oom_score_adj").read_text().strip() == "500"
            with server.client() as client:
                assert client.get(f"{JOBS}/{second['id']}").json()["state"] == "queued"
            assert act(server, second, "cancel")["state"] == "cancelled"
            act(server, first, "cancel")
            assert end(server, first)["state"] == "cancelled"
            assert not child.is_running()
            act(server, first, "cancel", status=400)


def test_all_jobs_are_watched_in_one_stream(own_server: RunningServer) -> None:
    old = end(own_server, start(own_server, kind="verify", name="tiny-llm"))
    with own_server.client() as client, client.stream("GET", f"{JOBS}/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        changes = events(answer.iter_lines())
        first = next(changes)
        assert first["is_whole"]
        assert first["jobs"] == [old]
        new = start(own_server, kind="verify")
        seen = [job for change in until_ended(changes, new["id"]) for job in change["jobs"]]
        assert {job["id"] for job in seen} == {new["id"]}
        assert seen[-1]["state"] == "done"
        with own_server.client() as other:
            assert other.delete(f"{JOBS}/{old['id']}").status_code == 200
        assert next(changes)["removed"] == [old["id"]]


def until_ended(changes: Iterator[Any], job_id: str) -> Iterator[Any]:
    for change in changes:
        yield change
        if any(job["id"] == job_id and job["ended"] is not None for job in change["jobs"]):
            return


def test_another_server_of_the_user_sees_in_its_stream_what_the_first_one_runs(own_home: Path, tmp_path: Path) -> None:
    with running_server(own_home, tmp_path / "log") as first, running_server(own_home, tmp_path / "log2") as second:
        old = end(first, start(first, kind="verify"))
        with second.client() as client, client.stream("GET", f"{JOBS}/stream") as answer:
            changes = events(answer.iter_lines())
            assert next(changes)["jobs"] == [old]
            new = start(first, kind="verify")
            assert list(until_ended(changes, new["id"]))


def test_the_phases_of_a_job_are_kept_with_their_times(own_server: RunningServer) -> None:
    job = end(own_server, start(own_server, kind="verify", name="tiny-llm"))
    [phase] = job["phases"]
    assert (phase["name"], phase["done_bytes"]) == ("verify", job["total_bytes"])
    assert job["started"] <= phase["started"] <= phase["ended"] <= job["ended"]
    assert job["phase_started"] is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_shows_what_was_interrupted_and_resumes_it(
    hub_root: Path, tmp_path: Path, how: signal.Signals
) -> None:
    home = tmp_path / "home"
    with HubServer(hub_root, bytes_per_s=1_500_000) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "EDGELLM_DEVICE": "raspberrypi5"}
        with running_server(home, tmp_path / "log", environment=environment) as server:
            job = start(server, kind="pull", model="acme/tiny-llm-GGUF:Q4_K_M")
            until(server, job, "downloading")
            [child] = psutil.Process(server.process.pid).children()
            os.kill(server.process.pid, how)
            server.process.wait(30)
            child.wait(30)
        with running_server(home, tmp_path / "log2", environment=environment) as server:
            with server.client() as client:
                [found] = client.get(JOBS).json()["jobs"]
            assert (found["id"], found["state"]) == (job["id"], "interrupted")
            act(server, found, "resume")
            done = end(server, found)
            assert (done["state"], done["attempts"]) == ("done", 2), done
        assert [row["name"] for row in Cli(home).json("list")] == ["tiny-llm:raspberrypi5-q4_k_m"]


def test_only_one_server_of_a_user_runs_jobs(own_home: Path, tmp_path: Path) -> None:
    with running_server(own_home, tmp_path / "log") as first, running_server(own_home, tmp_path / "log2") as second:
        done = end(first, start(first, kind="verify"))
        with second.client() as client:
            assert client.get(f"{JOBS}/{done['id']}").json() == done
        refused = start(second, status=503, kind="verify")
        assert "another server" in refused["error"]["message"]


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"kind": "pull", "model": "/etc/passwd"}, "hub repository"),
        ({"kind": "pull", "model": "../models/x"}, "hub repository"),
        ({"kind": "pull", "model": "acme/tiny", "device": "/etc/passwd"}, "device profile"),
        ({"kind": "pull", "model": "acme/tiny", "quant": "--force"}, "recipe"),
        ({"kind": "pull", "model": "--force"}, "hub repository"),
        ({"kind": "pull", "model": "acme/tiny", "format": "--force"}, "format"),
        ({"kind": "pack", "model": "acme/tiny", "format": "exl2"}, "format"),
        ({"kind": "pack"}, "either a model of a hub or files"),
        ({"kind": "pack", "files": {"a/b.gguf": "sha256:" + "0" * 64}}, "file name"),
        ({"kind": "pack", "files": {"../config.json": "sha256:" + "0" * 64}}, "file name"),
        ({"kind": "pack", "files": {"1_Pooling/../x.json": "sha256:" + "0" * 64}}, "file name"),
        ({"kind": "pack", "files": {"1_Pooling/model.safetensors": "sha256:" + "0" * 64}}, "file name"),
        (
            {"kind": "pack", "files": dict.fromkeys(("1_A", "1_A/config.json"), "sha256:" + "0" * 64)},
            "name",
        ),
        ({"kind": "pack", "files": {"b.gguf": "/etc/passwd"}}, "digest"),
        ({"kind": "import", "blob": "/etc/passwd"}, "digest"),
        ({"kind": "export", "names": ["../x"]}, "bundle name"),
        ({"kind": "export", "names": []}, "names"),
        ({"kind": "verify", "name": "-x"}, "bundle name"),
        ({"kind": "format"}, "format"),
        ({}, "kind"),
    ],
)
def test_orders_with_paths_and_nonsense_are_refused(server: RunningServer, order: dict[str, Any], text: str) -> None:
    assert text in start(server, status=400, **order)["error"]["message"]


def test_without_the_extra_only_gguf_is_packed(own_home: Path, tmp_path: Path) -> None:
    blocker = tmp_path / "blocker"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "plain = importlib.util.find_spec\n"
        "names = ('huggingface_hub', 'tokenizers', 'sentencepiece')\n"
        "importlib.util.find_spec = lambda name, package=None: None if name in names else plain(name, package)\n"
    )
    with running_server(own_home, tmp_path / "log", environment={"PYTHONPATH": str(blocker)}) as server:
        with server.client() as client:
            assert client.get(JOBS).json()["sources"] == ["gguf"]
        files = {"model.safetensors": "sha256:" + "0" * 64}
        refused = start(server, status=501, kind="pack", files=files, devices=["raspberrypi5"])
        assert "edgellm[pack]" in refused["error"]["hint"]


def test_an_order_names_the_format(tmp_path: Path) -> None:
    for order in (PullOrder(model="acme/tiny", format="onnx"), PackOrder(model="acme/tiny", format="onnx")):
        assert "--format=onnx" in command_line(order, tmp_path, Path)
    assert not any("format" in word for word in command_line(PullOrder(model="acme/tiny"), tmp_path, Path))


def test_uploaded_files_are_packed_for_a_device(own_server: RunningServer, tiny_llm: Path) -> None:
    files = {}
    with own_server.client() as client:
        assert client.get(JOBS).json()["sources"] == ["gguf", "checkpoint"]
        for path in tiny_llm.iterdir():
            data = path.read_bytes()
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            files[path.name] = digest
            assert client.post(f"/api/blobs/{digest}", content=data).status_code in (200, 201)
    order = {"kind": "pack", "files": files, "devices": ["raspberrypi4"], "quant": "Q8_0", "name": "mine"}
    done = end(own_server, start(own_server, **order))
    assert done["state"] == "done", done
    assert done["result"][0]["device"] == "raspberrypi4"
    assert any("Q8_0" in message for message in done["messages"])
    del order["quant"]
    done = end(own_server, start(own_server, **order | {"format": "onnx", "name": "other"}))
    assert done["state"] == "done", done
    assert done["order"]["format"] == "onnx"
    with own_server.client() as client:
        rows = client.get("/api/edgellm/models").json()["models"]
        formats = {row["name"].partition(":")[0]: row["format"] for row in rows}
        assert (formats["mine"], formats["other"]) == ("GGUF", "ONNX")
        fit = {"files": files, "folder": "tiny", "device": "raspberrypi4"}
        found = {
            wanted: {row["format"] for row in client.post("/api/edgellm/fit", json=fit | wanted_in).json()["rows"]}
            for wanted, wanted_in in (("onnx", {"format": "onnx"}), ("gguf", {"format": "gguf"}), ("both", {}))
        }
        assert found == {"onnx": {"onnx"}, "gguf": {"gguf"}, "both": {"gguf", "onnx"}}
        assert client.post("/api/edgellm/fit", json=fit | {"format": "exl2"}).status_code == 400
