"""Ollama's routes that list, show, make, fetch, copy and remove models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_process import Cli
from hub_server import HubServer
from server_process import RunningServer, running_server

FULL = "tiny-llm:raspberrypi5-q4_k_m"


@pytest.fixture
def hub(hub_root: Path) -> Iterator[HubServer]:
    with HubServer(hub_root) as running:
        yield running


@pytest.fixture
def empty(hub: HubServer, tmp_path: Path) -> Iterator[RunningServer]:
    """A server over an empty store, with a hub."""
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "EDGELLM_DEVICE": "raspberrypi5"}
    with running_server(tmp_path / "home", tmp_path / "log", environment=environment) as running:
        yield running


def statuses(server: RunningServer, path: str, **body: Any) -> list[dict[str, Any]]:
    with server.client() as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def upload(server: RunningServer, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with server.client() as client:
        assert client.head(f"/api/blobs/{digest}").status_code == 404
        assert client.post(f"/api/blobs/{digest}", content=data).status_code == 201
        assert client.head(f"/api/blobs/{digest}").status_code == 200
        assert client.post(f"/api/blobs/{digest}", content=data).status_code == 200
    return digest


def test_tags_and_show_describe_a_model(own_server: RunningServer) -> None:
    with own_server.client() as client:
        [row] = client.get("/api/tags").json()["models"]
        found = client.post("/api/show", json={"model": "tiny-llm"}).json()
        verbose = client.post("/api/show", json={"model": "tiny-llm", "verbose": True}).json()
    assert row["name"] == row["model"] == FULL
    assert len(row["digest"]) == 64
    assert row["size"] > 5_000_000
    assert row["details"]["quantization_level"] == "Q4_K_M"
    assert row["details"]["context_length"] == 512
    assert row["details"]["embedding_length"] == 256
    assert row["capabilities"] == found["capabilities"] == ["completion"]
    assert row["details"] == found["details"]
    assert found["model_info"]["general.architecture"] == "llama"
    assert found["model_info"]["general.parameter_count"] == 8392960
    assert found["model_info"]["tokenizer.ggml.tokens"] is None
    assert len(verbose["model_info"]["tokenizer.ggml.tokens"]) == 8192
    assert "Apache-2.0" in found["license"]
    assert found["modelfile"].startswith(f"FROM {FULL}\nTEMPLATE ")
    assert "temperature" in found["parameters"]
    assert {"name": "output_norm.weight", "type": "F32", "shape": [256]} in found["tensors"]


def test_a_copy_shares_its_files_and_is_removed_alone(own_server: RunningServer) -> None:
    with own_server.client() as client:
        assert client.post("/api/copy", json={"source": "tiny-llm", "destination": "second"}).status_code == 200
        rows = {row["name"]: row["digest"] for row in client.get("/api/tags").json()["models"]}
        assert rows["second:latest"] == rows[FULL]
        assert client.request("DELETE", "/api/delete", json={"model": "second"}).status_code == 200
        assert [row["name"] for row in client.get("/api/tags").json()["models"]] == [FULL]
        gone = client.request("DELETE", "/api/delete", json={"model": "second"})
        assert (gone.status_code, gone.json()["error"][:24]) == (404, "model 'second' not found")
        answer = client.post("/api/generate", json={"model": "tiny-llm", "prompt": "a", "options": {"num_predict": 2}})
        assert answer.status_code == 200


def test_removing_a_model_frees_the_disk(own_server: RunningServer, own_home: Path) -> None:
    with own_server.client() as client:
        client.post("/api/generate", json={"model": "tiny-llm"})
        assert client.request("DELETE", "/api/delete", json={"model": "tiny-llm"}).status_code == 200
        assert client.get("/api/tags").json() == {"models": []}
        assert client.get("/api/ps").json() == {"models": []}
    blobs = own_home / "store" / "blobs" / "sha256"
    assert sum(path.stat().st_size for path in blobs.iterdir()) < 1_000_000


def test_a_model_from_another_one_has_what_it_was_made_with(own_server: RunningServer, own_home: Path) -> None:
    before = sum(path.stat().st_size for path in (own_home / "store" / "blobs" / "sha256").iterdir())
    said = statuses(
        own_server,
        "/api/create",
        model="pirate",
        **{"from": "tiny-llm"},
        system="You are a pirate.",
        parameters={"temperature": 0, "num_predict": 5, "stop": ["STOP", "HALT"], "num_ctx": 256, "top_k": 7},
        messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Arr"}],
        license="Do as you like.",
    )
    assert said[-1] == {"status": "success"}
    after = sum(path.stat().st_size for path in (own_home / "store" / "blobs" / "sha256").iterdir())
    assert after - before < 100_000
    asked = {"messages": [{"role": "user", "content": "Hello"}], "stream": False}
    with own_server.client() as client:
        shown = client.post("/api/show", json={"model": "pirate"}).json()
        plain = client.post("/api/chat", json={"model": "tiny-llm", "options": {"num_predict": 1}, **asked}).json()
        pirate = client.post("/api/chat", json={"model": "pirate", **asked}).json()
        own = client.post(
            "/api/chat",
            json={
                "model": "pirate",
                "messages": [{"role": "system", "content": "x"}, *asked["messages"]],
                "stream": False,
            },
        ).json()
    assert shown["system"] == "You are a pirate."
    assert shown["license"] == "Do as you like."
    assert shown["messages"] == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Arr"}]
    for line in ("temperature                    0", 'stop                           "HALT"', "num_ctx   "):
        assert line in shown["parameters"]
    assert pirate["eval_count"] == 5
    assert pirate["prompt_eval_count"] > own["prompt_eval_count"] > plain["prompt_eval_count"] + 8


def test_a_template_of_its_own_makes_the_prompts(own_server: RunningServer) -> None:
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    statuses(own_server, "/api/create", model="bare", **{"from": "tiny-llm"}, template=template)
    options = {"num_predict": 4, "temperature": 0}
    with own_server.client() as client:
        chat = client.post(
            "/api/chat",
            json={
                "model": "bare",
                "messages": [{"role": "user", "content": "Once upon"}],
                "options": options,
                "stream": False,
            },
        ).json()
        raw = client.post(
            "/api/generate",
            json={"model": "tiny-llm", "prompt": "Once upon", "raw": True, "options": options, "stream": False},
        ).json()
        assert client.post("/api/show", json={"model": "bare"}).json()["template"] == template
    assert chat["message"]["content"] == raw["response"]
    assert chat["prompt_eval_count"] == raw["prompt_eval_count"]


def test_an_uploaded_file_becomes_a_model(empty: RunningServer, hub_root: Path) -> None:
    data = (hub_root / "acme" / "tiny-llm-GGUF" / "tiny-llm-Q4_K_M.gguf").read_bytes()
    digest = upload(empty, data)
    said = statuses(empty, "/api/create", model="mine:small", files={"model.gguf": digest}, system="Be brief.")
    assert said[-1] == {"status": "success"}, said
    with empty.client() as client:
        assert client.post("/api/show", json={"model": "mine:small"}).json()["system"] == "Be brief."
        answer = client.post(
            "/api/generate", json={"model": "mine:small", "prompt": "a", "stream": False, "options": {"num_predict": 2}}
        )
    assert answer.json()["done"] is True


def test_an_uploaded_file_becomes_a_model_with_all_that_one_of_the_store_can_have(
    empty: RunningServer, hub_root: Path
) -> None:
    digest = upload(empty, (hub_root / "acme" / "tiny-llm-GGUF" / "tiny-llm-Q4_K_M.gguf").read_bytes())
    template = "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    changes: dict[str, Any] = {
        "system": "Be brief.",
        "template": template,
        "parameters": {"temperature": 0.25, "stop": ["x"]},
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
        "license": "Free for all.",
    }
    files = {"model.gguf": digest}
    broken = statuses(empty, "/api/create", model="mine", files=files, adapters={"a.gguf": digest}, **changes)
    assert list(broken[-1]) == ["error"]
    with empty.client() as client:
        assert client.get("/api/tags").json()["models"] == []
    assert statuses(empty, "/api/create", model="mine", files=files, **changes)[-1] == {"status": "success"}
    with empty.client() as client:
        assert [row["name"] for row in client.get("/api/tags").json()["models"]] == ["mine:latest"]
        shown = client.post("/api/show", json={"model": "mine"}).json()
    assert (shown["system"], shown["template"]) == ("Be brief.", template)
    assert "Free for all." in shown["license"]
    assert "temperature" in shown["parameters"]
    assert [message["content"] for message in shown["messages"]] == ["Hi", "Ho"]


def test_bytes_that_are_not_those_of_the_digest_are_refused(own_server: RunningServer, own_home: Path) -> None:
    with own_server.client() as client:
        answer = client.post(f"/api/blobs/sha256:{'0' * 64}", content=b"something else")
        assert answer.status_code == 400
        assert "digest mismatch" in answer.json()["error"]
        assert client.head(f"/api/blobs/sha256:{'0' * 64}").status_code == 404
    downloads = own_home / "store" / ".downloads"
    assert not [path for path in downloads.rglob("*") if path.is_file() and path.stat().st_size]


def test_a_pull_tells_how_far_it_is(empty: RunningServer, hub: HubServer) -> None:
    said = statuses(empty, "/api/pull", model="hf.co/acme/tiny-llm-GGUF:Q4_K_M")
    assert said[0] == {"status": "pulling manifest"}
    assert said[-1] == {"status": "success"}
    moving = [line for line in said if "total" in line]
    assert moving
    assert all(0 <= line["completed"] <= line["total"] for line in moving)
    assert moving[0]["digest"].startswith("sha256:")
    with empty.client() as client:
        [row] = client.get("/api/tags").json()["models"]
        again = client.post("/api/pull", json={"model": "acme/tiny-llm-GGUF:Q4_K_M", "stream": False})
    assert again.json() == {"status": "success"}
    assert row["name"] == FULL
    assert len(hub.asked("cdn", "tiny-llm-Q4_K_M.gguf")) == hub.sent_bytes("tiny-llm-Q4_K_M.gguf") // row["size"] or 1


def test_a_pull_that_fails_says_why(empty: RunningServer) -> None:
    said = statuses(empty, "/api/pull", model="acme/nothing")
    assert list(said[-1]) == ["error"]
    assert "acme/nothing" in said[-1]["error"]
    with empty.client() as client:
        whole = client.post("/api/pull", json={"model": "acme/nothing", "stream": False})
    assert whole.status_code in (403, 404)
    assert "acme/nothing" in whole.json()["error"]


def test_a_pull_whose_client_goes_away_stops_and_goes_on_later(hub_root: Path, tmp_path: Path) -> None:
    with HubServer(hub_root, bytes_per_s=1_500_000) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "EDGELLM_DEVICE": "raspberrypi5"}
        with running_server(tmp_path / "home", tmp_path / "log", environment=environment) as server:
            body = {"model": "acme/tiny-llm-GGUF:Q4_K_M"}
            with server.client() as client, client.stream("POST", "/api/pull", json=body) as answer:
                for text in answer.iter_lines():
                    line = json.loads(text)
                    if line.get("completed", 0) > 1_000_000 and "downloading" in line["status"]:
                        break
            job = _ended(server)
            assert job["state"] == "cancelled"
            said = statuses(server, "/api/pull", **body)
            assert said[-1] == {"status": "success"}, said


def _ended(server: RunningServer) -> dict[str, Any]:
    with server.client() as client:
        [job] = client.get("/api/edgellm/jobs").json()["jobs"]
        last = client.get(f"/api/edgellm/jobs/{job['id']}/events").text.splitlines()[-1]
    found: dict[str, Any] = json.loads(last)
    return found


def test_names_of_clients_find_what_was_pulled(empty: RunningServer, tmp_path: Path) -> None:
    statuses(empty, "/api/pull", model="acme/tiny-llm-GGUF")
    assert Cli(tmp_path / "home").json("list")[0]["name"] == FULL
    with empty.client() as client:
        for name in ("tiny-llm", FULL):
            assert client.post("/api/show", json={"model": name}).status_code == 200
