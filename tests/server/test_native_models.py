"""Our own routes for models, over a server of their own: they change its store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from model_rig import add_bundle, open_store

from cli_process import Cli
from server_process import running_server
from worker_rig import is_gone, wait_until

Json = dict[str, object]


@pytest.fixture
def home(tmp_path: Path, tiny_gguf: Path) -> Path:
    add_bundle(open_store(tmp_path), "one:a", tiny_gguf)
    return tmp_path


@pytest.fixture
def client(home: Path) -> Iterator[httpx.Client]:
    with running_server(home, home / "log") as server, server.client() as client:
        yield client


def post(client: httpx.Client, path: str, **body: object) -> Json:
    answer = client.post(f"/api/edgellm/{path}", json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def models(client: httpx.Client) -> dict[str, Json]:
    return {row["name"]: row for row in client.get("/api/edgellm/models").json()["models"]}


def test_the_list_says_what_each_needs_and_whether_it_is_there(client: httpx.Client) -> None:
    listing = client.get("/api/edgellm/models").json()
    (row,) = listing["models"]
    assert row["name"] == "one:a"
    assert row["needed_bytes"] == 3 << 30  # of the plan
    assert row["fit"] in ("fits", "tight", "does not fit")
    assert (row["state"], row["pinned"]) == (None, False)
    assert listing["memory"]["models_bytes"] > 0
    post(client, "load", model="one")
    assert models(client)["one:a"]["state"] == "ready"


def test_show_explains_the_plan_and_gives_card_licence_and_digests(client: httpx.Client, home: Path) -> None:
    shown = post(client, "show", model="one")
    assert shown["plan"]["why"] == "it fits"  # type: ignore[index]
    assert shown["digest"] == open_store(home).resolve("one").digest
    assert shown["license_documents"] == [{"path": "LICENSE", "text": "Apache License\n"}]
    assert shown["cards"] == []
    assert {file["path"] for file in shown["files"]} == {"model.gguf", "LICENSE"}  # type: ignore[union-attr, attr-defined]
    assert shown["loaded"] is None
    assert str(home) not in str(shown)


def test_load_and_stop(client: httpx.Client) -> None:
    status = post(client, "load", model="one:latest", context=256, keep_alive_s=-1)
    assert (status["name"], status["state"], status["context"]) == ("one:a", "ready", 256)
    (loaded,) = client.get("/api/edgellm/ps").json()
    assert loaded["pid"] == status["pid"]
    assert post(client, "stop", model="one") == {"unloaded": True}
    assert client.get("/api/edgellm/ps").json() == []
    wait_until(lambda: is_gone(int(str(status["pid"]))))


def test_what_does_not_fit_is_a_507_with_numbers_and_the_way_out(home: Path) -> None:
    with running_server(home, home / "log", "--memory-budget", "64MiB") as server, server.client() as client:
        answer = client.post("/api/edgellm/load", json={"model": "one"})
        assert answer.status_code == 507
        error = answer.json()["error"]
        assert "needs" in error["message"]
        assert "raise memory_budget" in error["hint"]
        assert post(client, "load", model="one", force=True)["state"] == "ready"


def test_a_pin_outlives_the_server(home: Path) -> None:
    with running_server(home, home / "log") as server, server.client() as client:
        assert post(client, "pin", model="one") == {"name": "one:a", "pinned": True}
    with running_server(home, home / "log") as server, server.client() as client:
        wait_until(lambda: models(client)["one:a"]["state"] == "ready")
        assert models(client)["one:a"]["pinned"] is True
        assert client.post("/api/edgellm/stop", json={"model": "one"}).status_code == 400
        assert post(client, "pin", model="one", pinned=False) == {"name": "one:a", "pinned": False}
        assert post(client, "stop", model="one") == {"unloaded": True}


def test_copy_rename_and_delete_while_it_is_loaded(client: httpx.Client) -> None:
    pid = post(client, "load", model="one")["pid"]
    assert post(client, "copy", model="one", name="two")["name"] == "two:a"
    assert post(client, "rename", model="one", name="three:b")["name"] == "three:b"
    assert sorted(models(client)) == ["three:b", "two:a"]
    assert client.post("/api/edgellm/show", json={"model": "one"}).status_code == 404
    assert post(client, "load", model="three")["pid"] == pid  # the same bundle, the same engine
    assert post(client, "load", model="two")["pid"] == pid
    assert post(client, "delete", model="three")["removed"] == ["three:b"]
    assert client.get("/api/edgellm/ps").json()[0]["names"] == ["two:a"]
    assert post(client, "delete", model="two")["removed"] == ["two:a"]
    wait_until(lambda: client.get("/api/edgellm/ps").json() == [])
    assert models(client) == {}


def test_a_name_that_is_taken_is_no_name_for_another(client: httpx.Client) -> None:
    post(client, "copy", model="one", name="two")
    answer = client.post("/api/edgellm/rename", json={"model": "one", "name": "two:a"})
    assert answer.status_code == 400
    assert "two:a is there already" in answer.json()["error"]["message"]
    assert sorted(models(client)) == ["one:a", "two:a"]


@pytest.mark.parametrize("path", ["show", "load", "pin", "copy", "rename", "delete"])
def test_an_unknown_model_is_a_404_everywhere(client: httpx.Client, path: str) -> None:
    answer = client.post(f"/api/edgellm/{path}", json={"model": "nothing", "name": "two:a"})
    assert answer.status_code == 404
    assert answer.json()["error"]["kind"] == "NotFoundError"


def test_fit_says_what_the_command_says(client: httpx.Client, home: Path, tmp_path: Path) -> None:
    told = Cli(home).run("fit", "one:a", "--device", "raspberrypi5", "--memory", "4GiB", "--json")
    found = post(client, "fit", model="one", device="raspberrypi5", memory="4GiB")
    import json

    assert found == json.loads(told.stdout)


@pytest.mark.parametrize("model", ["/etc/passwd", "../store", "./x.gguf", "-h", "~/x"])
def test_fit_takes_no_path(client: httpx.Client, model: str) -> None:
    answer = client.post("/api/edgellm/fit", json={"model": model})
    assert answer.status_code in (400, 404)


def test_fit_takes_no_path_for_a_device(client: httpx.Client) -> None:
    answer = client.post("/api/edgellm/fit", json={"model": "one", "device": "/tmp/x.toml"})
    assert answer.status_code == 400


def test_the_command_line_says_how_models_are_kept(home: Path) -> None:
    options = ("--parallel", "2", "--keep-alive", "1h30m")
    with running_server(home, home / "log", *options) as server, server.client() as client:
        status = post(client, "load", model="one")
    assert (status["sequences"], status["keep_alive_s"]) == (2, 5400)


@pytest.mark.parametrize("option", [("--memory-budget", "much"), ("--keep-alive", "soon"), ("--parallel", "-1")])
def test_a_value_that_is_none_ends_the_command(home: Path, option: tuple[str, str]) -> None:
    told = Cli(home).run("serve", *option, status=2)
    assert option[1] in told.stderr
