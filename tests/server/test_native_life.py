"""What a server tells of its changes, and a server that ends by itself; devices, and what fits of uploaded files."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import pytest
from serve_rig import Serving, serving

from cli_process import Cli
from server_process import RunningServer

_PATIENCE_S = 60.0


class Listener:
    """Reads the changes of a server beside the test."""

    def __init__(self, client: httpx.Client) -> None:
        self.heard: Queue[dict[str, int]] = Queue()
        threading.Thread(target=self._listen, args=(client,), daemon=True).start()

    def _listen(self, client: httpx.Client) -> None:
        with client, client.stream("GET", "/api/edgellm/changes", timeout=None) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    self.heard.put(json.loads(line.removeprefix("data: ")))

    def next(self) -> dict[str, int]:
        return self.heard.get(timeout=_PATIENCE_S)

    def until(self, key: str, before: int) -> int:
        """The number of ``key`` once it is another one than ``before``."""
        while (found := self.next())[key] == before:
            pass
        return found[key]


@pytest.fixture
def server(own_home: Path) -> Iterator[Serving]:
    with serving(own_home) as found:
        yield found
        found.stop()


def test_changes_are_told_when_they_happen_and_only_then(server: Serving) -> None:
    listener = Listener(server.client())
    first = listener.next()
    with server.client() as client:
        client.post("/api/edgellm/load", json={"model": "tiny-llm"}).raise_for_status()
        models = listener.until("models", first["models"])
        client.post("/api/edgellm/copy", json={"model": "tiny-llm", "name": "two:a"}).raise_for_status()
        listener.until("store", first["store"])
        client.post("/api/edgellm/jobs", json={"kind": "verify", "name": "two:a"}).raise_for_status()
        listener.until("jobs", first["jobs"])
        client.post("/api/edgellm/pin", json={"model": "two:a"}).raise_for_status()
        listener.until("models", models)


def test_without_clients_and_jobs_it_ends_by_itself(own_home: Path) -> None:
    with serving(own_home, "--until-idle", "1") as server:
        assert server.wait() == 0
        assert "no client and no job for 1 s" in server.said()


def test_a_client_that_listens_keeps_it(own_home: Path) -> None:
    with serving(own_home, "--until-idle", "1") as server:
        with server.client() as client, client.stream("GET", "/api/edgellm/changes") as answer:
            lines = answer.iter_lines()
            next(lines)
            with server.client() as other:  # what happens much later than a second is still told
                job = other.post("/api/edgellm/jobs", json={"kind": "verify"}).json()
                other.get(f"/api/edgellm/jobs/{job['id']}/events", timeout=60).read()
            assert server.process.poll() is None
        assert server.wait() == 0


def test_a_job_keeps_it_until_it_is_done(own_home: Path) -> None:
    with serving(own_home, "--until-idle", "1") as server:
        with server.client() as client:
            job = client.post("/api/edgellm/jobs", json={"kind": "verify"}).json()
        assert server.wait() == 0
    with serving(own_home) as server, server.client() as client:
        assert client.get(f"/api/edgellm/jobs/{job['id']}").json()["state"] == "done"


def test_keep_makes_it_stay(own_home: Path) -> None:
    with serving(own_home, "--until-idle", "1") as server:
        with server.client() as client:
            assert client.post("/api/edgellm/keep").json() == {"kept": True}
        with pytest.raises(Exception, match="timed out"):
            server.process.wait(4)
        assert server.stop() == 0


def test_devices_are_this_one_and_all_that_are_known(own_server: RunningServer, own_home: Path) -> None:
    with own_server.client() as client:
        found: dict[str, Any] = client.get("/api/edgellm/devices").json()
    known = Cli(own_home).json("devices", "list")
    assert [device["id"] for device in found["devices"]] == [profile["id"] for profile in known]
    assert found["here"] is None or found["here"]["memory_bytes"] > 0


def test_what_fits_of_uploaded_files_is_what_the_command_says(
    own_server: RunningServer, own_home: Path, tiny_gguf: Path
) -> None:
    raw = tiny_gguf.read_bytes()
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    with own_server.client() as client:
        order = {"files": {"model.gguf": digest}, "device": "raspberrypi5"}
        assert client.post("/api/edgellm/fit", json=order).status_code == 404
        client.post(f"/api/blobs/{digest}", content=raw).raise_for_status()
        found = client.post("/api/edgellm/fit", json=order).json()
        assert found["rows"] == Cli(own_home).json("fit", str(tiny_gguf), "--device", "raspberrypi5")["rows"]
        other = f"sha256:{hashlib.sha256(b'no GGUF').hexdigest()}"
        client.post(f"/api/blobs/{other}", content=b"no GGUF").raise_for_status()
        refused = client.post("/api/edgellm/fit", json={"files": {"mine.gguf": other}}).json()
        assert refused["error"]["message"] == "mine.gguf is not a GGUF file"
        files = {"config.json": other}
        assert client.post("/api/edgellm/fit", json={"files": files, "folder": "../x"}).status_code == 400
        for wrong in ({"files": {"../x.gguf": digest}}, {"files": {"x.gguf": "/etc/passwd"}}, {}):
            assert client.post("/api/edgellm/fit", json=wrong).status_code == 400
