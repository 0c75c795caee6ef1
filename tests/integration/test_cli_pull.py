"""Models of a hub through the command line, against a hub on this machine."""

from __future__ import annotations

import json
import os
import pty
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hub_cli import CHECKPOINT, GGUF, QUANTS, HubCli, leftovers, weights_of, without_pack_extra

from cli_process import Cli
from hub_server import TOKEN, HubServer


def commit_of(hub: HubServer, repo_id: str) -> str:
    commit = hub.repositories.commit(repo_id, "main")
    assert commit is not None
    return commit.sha


def test_fit_reads_headers_alone(client: HubCli, hub: HubServer, repositories: Path) -> None:
    rows = {row["recipe"]: row for row in client.json("fit", GGUF)["rows"]}
    assert set(rows) == set(QUANTS)
    for quant, row in rows.items():
        assert row["size_bytes"] == (repositories / GGUF / f"tiny-llm-{quant}.gguf").stat().st_size
    assert {row["recipe"] for row in client.json("fit", CHECKPOINT)["rows"]} >= {"Q4_K_M", "Q8_0", "F16"}
    weights = (repositories / CHECKPOINT / "model.safetensors").stat().st_size
    assert hub.sent_bytes(".safetensors") < 64 << 10 < weights
    assert hub.sent_bytes(".gguf") < 2 << 20  # headers hold the vocabulary
    assert not client.home.exists() or not list(client.home.rglob("*.gguf"))


def test_the_file_that_suits_the_device_becomes_a_bundle(client: HubCli, hub: HubServer) -> None:
    chosen = client.json("fit", GGUF)["choice"]
    done = client.run("pull", GGUF, "--yes")
    assert chosen in done.stderr
    assert "Apache-2.0" in done.stderr
    name = f"tiny-llm:raspberrypi5-{chosen.lower()}"
    shown = client.json("show", name)
    source = shown["plan"]["source"]
    commit = commit_of(hub, GGUF)
    assert (source["name"], source["revision"], source["url"]) == (GGUF, commit, f"{hub.url}/{GGUF}")
    assert list(source["files"]) == [f"tiny-llm-{chosen}.gguf"]
    assert shown["licenses"] == ["Apache-2.0"]
    assert "README.md" in [file["path"] for file in shown["files"]]
    assert leftovers(client) == []
    client.run("verify")


def test_what_is_there_is_not_downloaded_again(client: HubCli, hub: HubServer) -> None:
    client.run("pull", f"{GGUF}:q4_0", "--yes")
    sent = hub.sent_bytes(".gguf")
    again = client.run("pull", f"{GGUF}:q4_0", "--yes")
    assert "already" in again.stderr
    assert hub.sent_bytes(".gguf") < sent + (2 << 20)
    asked = len(hub.requests)
    answer = client.run("run", f"hf.co/{GGUF}:Q4_0", "Once", "--raw", "-n", "4")
    assert answer.stdout.strip()
    offline = client.run("pull", GGUF, "--yes", environment={"EDGELLM_OFFLINE": "1"})
    assert "already" in offline.stderr
    assert len(hub.requests) == asked


def test_run_pulls_what_is_not_here(client: HubCli) -> None:
    refused = client.run("run", f"{GGUF}:Q8_0", "Once", "--raw", status=2)
    assert "--yes" in refused.stderr
    answer = client.run("run", f"{GGUF}:Q8_0", "Once", "--raw", "-n", "4", "--yes")
    assert answer.stdout.strip()
    assert client.json("list")[0]["recipe"] == "Q8_0"


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 130)])
def test_one_question_on_a_terminal(client: HubCli, answer: str, status: int) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        client.command("pull", f"{GGUF}:Q4_0"), env=client.environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    said = b""
    while b"[Y/n]" not in said:
        said += os.read(master, 4096)
    os.write(master, answer.encode() + b"\n")
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.close(master)
    assert process.wait(60) == status, said.decode()
    assert bool(client.json("list")) == (answer == "y")


def test_a_checkpoint_is_packed_at_a_pinned_commit(client: HubCli, hub: HubServer, repositories: Path) -> None:
    client.run("pack", CHECKPOINT, "--device", "raspberrypi5", "--quant", "Q4_K_M")
    source = client.json("show", "tiny-llm:raspberrypi5-q4_k_m")["plan"]["source"]
    assert (source["name"], source["revision"]) == (CHECKPOINT, commit_of(hub, CHECKPOINT))
    sent = hub.sent_bytes(".safetensors")
    client.run("pull", CHECKPOINT, "--quant", "Q8_0", "--yes")
    weights = (repositories / CHECKPOINT / "model.safetensors").stat().st_size
    assert hub.sent_bytes(".safetensors") - sent < weights // 2  # from the shared cache


def test_a_checkpoint_is_pulled_in_the_format_that_is_asked_for(client: HubCli) -> None:
    client.run("pull", CHECKPOINT, "--format", "gguf", "--yes", "--name", "tiny:gguf")
    client.run("pull", CHECKPOINT, "--format", "onnx", "--yes")
    names = {row["name"]: client.json("show", row["name"]) for row in client.json("list")}
    [onnx] = names.keys() - {"tiny:gguf"}
    assert any(file["path"].endswith(".onnx") for file in names[onnx]["files"])
    assert any(file["path"].endswith(".gguf") for file in names["tiny:gguf"]["files"])
    offline = {"EDGELLM_OFFLINE": "1"}
    for wanted, name in (("onnx", onnx), ("gguf", "tiny:gguf")):
        found = client.run("pull", CHECKPOINT, "--format", wanted, "--yes", environment=offline)
        assert f"{name} is there already" in found.stderr
    refused = client.run("pull", f"{CHECKPOINT}:Q4_0", "--format", "onnx", "--yes", status=2)
    assert "asks for a GGUF" in refused.stderr
    client.run("pull", CHECKPOINT, "--format", "onnx", "--quant", "Q4_0", "--yes", status=2)


def test_a_checkpoint_from_the_hub_packs_as_the_local_one(client: HubCli, repositories: Path, tmp_path: Path) -> None:
    client.run("pack", CHECKPOINT, "--device", "raspberrypi5", "--quant", "Q4_0")
    local = Cli(tmp_path / "local")
    local.run("pack", repositories / CHECKPOINT, "--device", "raspberrypi5", "--quant", "Q4_0")
    digests = [
        next(
            file["digest"] for file in one.json("show", "tiny-llm:raspberrypi5-q4_0")["files"] if "gguf" in file["path"]
        )
        for one in (client, local)
    ]
    assert digests[0] == digests[1]


def test_offline_opens_no_connection(client: HubCli, hub: HubServer) -> None:
    for words in (
        ["pull", GGUF, "--yes"],
        ["fit", GGUF],
        ["run", GGUF, "hi", "--yes"],
        ["pack", CHECKPOINT, "-d", "pi5"],
    ):
        done = client.run(*words, status=1, environment={"EDGELLM_OFFLINE": "1"})
        assert "EDGELLM_OFFLINE" in done.stderr
    assert hub.requests == []


def test_a_gated_repository_names_its_page_and_the_token(repositories: Path, tmp_path: Path) -> None:
    with HubServer(repositories, gated=(GGUF,)) as hub:
        client = HubCli(tmp_path / "home", hub.url)
        refused = client.run("pull", f"{GGUF}:Q4_0", "--yes", status=1)
        assert f"{hub.url}/{GGUF}" in refused.stderr
        assert "HF_TOKEN" in refused.stderr
        allowed = HubCli(tmp_path / "home", hub.url, HF_TOKEN=TOKEN)
        done = allowed.run("pull", f"{GGUF}:Q4_0", "--yes")
        assert TOKEN not in done.stderr + refused.stderr
        assert leftovers(client) == []


def test_unknown_names_say_what_there_is(client: HubCli) -> None:
    assert "there is no repository" in client.run("pull", "acme/nothing", "--yes", status=3).stderr
    missing = client.run("pull", f"{GGUF}:Q2_K", "--yes", status=3)
    assert "Q4_K_M" in missing.stderr
    small = client.run("pull", f"{GGUF}:Q8_0", "--memory", "64MiB", "--yes", status=4)
    assert "hint:" in small.stderr


def test_a_missing_extra_names_its_command(client: HubCli, tmp_path: Path) -> None:
    without = without_pack_extra(tmp_path / "blocked")
    refused = client.run("pull", CHECKPOINT, "--yes", status=1, environment=without)
    assert "pip install" in refused.stderr
    client.run("pull", f"{GGUF}:Q4_0", "--yes", environment=without)  # GGUF files need no extra


def test_killed_pulls_end_in_a_whole_bundle(repositories: Path, tmp_path: Path) -> None:
    chance = random.Random(7)
    with HubServer(repositories, bytes_per_s=16_000_000) as hub:
        client = HubCli(tmp_path / "home", hub.url)
        for _ in range(10):
            process = client.start("pull", f"{GGUF}:Q8_0", "--yes")
            time.sleep(chance.uniform(0.05, 1.6))
            with_group = os.getpgid(process.pid) if process.poll() is None else None
            if with_group is not None:
                os.killpg(with_group, signal.SIGKILL)
            process.wait()
            client.run("verify")
    with HubServer(repositories) as hub:
        client = HubCli(tmp_path / "home", hub.url)
        client.run("pull", f"{GGUF}:Q8_0", "--yes")
        client.run("verify")
        client.run("gc")
        assert leftovers(client) == []
        wanted = HubCli(tmp_path / "clean", hub.url)
        wanted.run("pull", f"{GGUF}:Q8_0", "--yes")
        assert weights_of(client) == weights_of(wanted)


def test_two_processes_download_a_model_once(repositories: Path, tmp_path: Path) -> None:
    with HubServer(repositories, bytes_per_s=6_000_000) as hub:
        client = HubCli(tmp_path / "home", hub.url)
        both = [client.start("pull", f"{GGUF}:Q8_0", "--yes") for _ in range(2)]
        assert [process.wait(120) for process in both] == [0, 0]
        size = (repositories / GGUF / "tiny-llm-Q8_0.gguf").stat().st_size
        assert hub.sent_bytes("Q8_0.gguf") < size + (4 << 20)  # each read the header
        assert [row["recipe"] for row in client.json("list")] == ["Q8_0"]
        assert leftovers(client) == []


def test_what_is_asked_explicitly_is_another_bundle_without_another_download(client: HubCli, hub: HubServer) -> None:
    client.run("pull", f"{GGUF}:Q4_0", "--yes")
    sent = hub.sent_bytes("Q4_0.gguf")
    client.run("pull", f"{GGUF}:Q4_0", "--yes", "--context", "64", "--name", "tiny:short")
    client.run("pull", f"{GGUF}:Q4_0", "--yes", "--memory", "2GiB", "--name", "tiny:small")
    assert hub.sent_bytes("Q4_0.gguf") < sent + (4 << 20)
    assert client.json("show", "tiny:short")["plan"]["context"] == 64
    assert len({client.json("show", row["name"])["weights_path"] for row in client.json("list")}) == 1
    assert leftovers(client) == []


def test_what_a_kill_after_the_commit_left_is_removed(client: HubCli, hub: HubServer, repositories: Path) -> None:
    client.run("pull", f"{GGUF}:Q4_0", "--yes")
    left = client.home / "store" / ".downloads" / Path(client.json("show", "tiny-llm")["weights_path"]).name
    shutil.copyfile(repositories / GGUF / "tiny-llm-Q4_0.gguf", left)
    client.run("pull", f"{GGUF}:Q4_0", "--yes")
    assert leftovers(client) == []


def test_a_damaged_checkpoint_of_the_shared_cache_is_refused(client: HubCli) -> None:
    client.run("pull", CHECKPOINT, "--quant", "Q8_0", "--yes")
    client.run("rm", "tiny-llm", "--yes")
    weights = next((client.home / "hf").rglob("model.safetensors"))
    blob = weights.resolve()
    data = bytearray(blob.read_bytes())
    data[-1000] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(data)
    refused = client.run("pull", CHECKPOINT, "--quant", "Q8_0", "--yes", status=1)
    assert "model.safetensors" in refused.stderr
    assert "the hub says" in refused.stderr
    assert client.json("list") == []


def test_json_of_pull(client: HubCli) -> None:
    first = json.loads(client.run("pull", f"{GGUF}:Q4_0", "--yes", "--json").stdout)
    assert first["packed"][0]["recipe"] == "Q4_0"
    again = json.loads(client.run("pull", f"{GGUF}:Q4_0", "--yes", "--json").stdout)
    assert (again["packed"], again["already_there"][0]["recipe"]) == ([], "Q4_0")


def test_a_project_may_take_its_model_from_a_hub(client: HubCli, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    said = client.run("init", f"{GGUF}:Q4_0", "--device", "raspberrypi5", cwd=project).stderr
    assert "taken from the hub" in said
    assert "warning" not in said
    client.run("pack", cwd=project)
    assert [row["recipe"] for row in client.json("list")] == ["Q4_0"]


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("cdn", {"status": 503, "times": 2}),
        ("cdn", {"status": 429, "times": 1, "headers": {"Retry-After": "1"}}),
        ("cdn", {"cut_after": 3_000_000, "times": 2}),
        ("cdn", {"status": 403, "times": 1}),
        ("resolve", {"status": 502, "times": 2}),
    ],
)
def test_a_checkpoint_arrives_through_faults(client: HubCli, hub: HubServer, where: str, fault: dict[str, Any]) -> None:
    client.run("fit", CHECKPOINT)
    hub.fault(where, "model.safetensors", skip=2, **fault)  # after the headers, which pull reads again
    done = client.run("pull", CHECKPOINT, "--quant", "Q4_0", "--yes")
    assert "retrying" in done.stderr
    assert [row["recipe"] for row in client.json("list")] == ["Q4_0"]


def test_wrong_bytes_of_a_checkpoint_leave_nothing(client: HubCli, hub: HubServer) -> None:
    hub.fault("cdn", "model.safetensors", times=None, corrupt_at=9_000_000)
    refused = client.run("pull", CHECKPOINT, "--quant", "Q4_0", "--yes", status=5)
    assert "model.safetensors arrived with the sha256" in refused.stderr
    assert not list((client.home / "hf").rglob("model.safetensors"))
    hub.clear_faults()
    client.run("pull", CHECKPOINT, "--quant", "Q4_0", "--yes")


def test_gc_of_the_cache_removes_a_checkpoint_that_stopped_on_the_way(repositories: Path, tmp_path: Path) -> None:
    with HubServer(repositories, bytes_per_s=4_000_000) as hub:
        client = HubCli(tmp_path / "home", hub.url)
        process = client.start("pull", CHECKPOINT, "--yes")
        parts: list[Path] = []
        while not parts:
            assert process.poll() is None
            parts = list((client.home / "hf").rglob(f"{'[0-9a-f]' * 64}.part"))  # of the weights
            time.sleep(0.005)
        client.run("gc", "--cache")
        assert parts[0].exists()  # it is arriving
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        client.run("gc", "--cache")
    assert not parts[0].exists()
    assert not list((client.home / "hf").rglob("*.journal"))
    assert list((client.home / "hf").rglob("[0-9a-f]" * 40))  # whole files are everybody's
