"""A disk without a byte left under what a server writes: it goes on answering, and says what it could not keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server_process import RunningServer, running_server
from tmpfs import fill_rest, tmpfs

JOBS = "/api/edgellm/jobs"


def answers(server: RunningServer) -> None:
    body = {"model": "tiny-llm", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    with server.client() as client:
        assert client.get("/health").json()["status"] == "ok"
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] >= 1


@pytest.mark.parametrize("when", ["before", "after a job"])
def test_a_full_state_folder_costs_jobs_and_pins_and_no_answer(own_home: Path, tmp_path: Path, when: str) -> None:
    with (
        tmpfs(own_home / "state", "size=1m") as disk,
        running_server(own_home, tmp_path / "log") as server,
        server.client() as client,
    ):
        if when == "after a job":
            job = client.post(JOBS, json={"kind": "verify", "name": "tiny-llm"}).json()
            with client.stream("GET", f"{JOBS}/{job['id']}/events") as events:
                assert json.loads(list(events.iter_lines())[-1])["state"] == "done"
        fill_rest(disk)
        answers(server)
        refused = client.post(JOBS, json={"kind": "verify", "name": "tiny-llm"})
        if refused.status_code == 201:  # the disk has what it needs to begin, and not to keep it
            job = refused.json()
            with client.stream("GET", f"{JOBS}/{job['id']}/events") as events:
                last = json.loads(list(events.iter_lines())[-1])
            told = json.dumps(last)
        else:
            assert refused.status_code == 507, refused.text
            told = refused.text
        assert "No space left on device" in told
        assert str(own_home) not in told
        pinned = client.post("/api/edgellm/pin", json={"model": "tiny-llm", "pinned": True})
        assert pinned.status_code == 507, pinned.text
        assert "No space left on device" in pinned.text
        answers(server)
        assert isinstance(client.get(JOBS).json()["jobs"], list)


def test_an_upload_onto_a_full_disk_is_told_so(own_home: Path, tmp_path: Path) -> None:
    store = own_home / "store"
    with tmpfs(store / ".downloads", "size=64k"), running_server(own_home, tmp_path / "log") as server:
        with server.client() as client:
            answer = client.post("/api/blobs/sha256:" + "0" * 64, content=bytes(1 << 20))
            assert answer.status_code == 507, answer.text
            assert str(own_home) not in answer.text
        answers(server)
