"""Repositories of GGUF files that were not quantized: a file of theirs is quantized for the device."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_cli import CARD, QUANTS, HubCli, leftovers, weights_of, without_pack_extra

from gguf_parts import split_gguf
from hub_server import HubServer

FLOATS, BOTH, SPLIT, UNNAMED = "acme/tiny-f16-GGUF", "acme/tiny-both-GGUF", "acme/tiny-split-GGUF", "acme/tiny-plain"


@pytest.fixture(scope="module")
def float_repositories(tiny_gguf: Path, repositories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("float-hub")
    for name in (FLOATS, BOTH, SPLIT, UNNAMED):
        (root / name).mkdir(parents=True)
        (root / name / "README.md").write_text(CARD)
    shutil.copyfile(tiny_gguf, root / FLOATS / "tiny-f16.gguf")
    shutil.copyfile(tiny_gguf, root / UNNAMED / "tiny.gguf")
    shutil.copyfile(tiny_gguf, root / BOTH / "tiny-llm-F16.gguf")
    quantized = next((repositories / "acme" / "tiny-llm-GGUF").glob("*Q4_0.gguf"))
    shutil.copyfile(quantized, root / BOTH / quantized.name)
    split_gguf(tiny_gguf, root / SPLIT, "tiny-BF16", 2)
    return root


@pytest.fixture
def hub(float_repositories: Path) -> Iterator[HubServer]:
    with HubServer(float_repositories) as server:
        yield server


def test_a_repository_of_floats_is_quantized_here(client: HubCli, hub: HubServer, tiny_gguf: Path) -> None:
    fit = client.json("fit", FLOATS)
    assert {row["recipe"] for row in fit["rows"]} >= {"F16", "Q8_0", *QUANTS}
    assert fit["choice"] not in ("F16", "F32", "BF16")
    done = client.run("pull", FLOATS, "--yes")
    assert f"F16, quantized here to {fit['choice']}" in done.stderr
    assert "disk for the bundle" in done.stderr
    [row] = client.json("list")
    assert (row["name"], row["recipe"]) == (f"tiny-f16:raspberrypi5-{fit['choice'].lower()}", fit["choice"])
    assert list(client.json("show", row["name"])["plan"]["source"]["files"]) == ["tiny-f16.gguf"]
    assert leftovers(client) == []
    sent = hub.sent_bytes(".gguf")
    assert sent < tiny_gguf.stat().st_size + (4 << 20)
    assert "already" in client.run("pull", FLOATS, "--yes").stderr
    assert hub.sent_bytes(".gguf") < sent + (4 << 20)
    assert client.run("run", FLOATS, "Once", "--raw", "-n", "4").stdout.strip()


@pytest.mark.parametrize(
    "words", [(f"{FLOATS}:q4_k_m",), (f"{FLOATS}", "--quant", "Q4_K_M"), (f"{BOTH}", "--quant", "q4_k_m")]
)
def test_a_quant_that_is_not_there_is_made_of_the_floats(
    client: HubCli, words: tuple[str, ...], tiny_gguf: Path, tmp_path: Path
) -> None:
    client.run("pull", *words, "--yes")
    assert client.json("list")[0]["recipe"] == "Q4_K_M"
    local = HubCli(tmp_path / "local", client.endpoint)  # type: ignore[attr-defined]
    local.run("pack", tiny_gguf, "--device", "raspberrypi5", "--quant", "Q4_K_M")
    assert weights_of(client) == weights_of(local)


def test_the_published_quant_comes_first_and_the_float_only_when_asked_for(client: HubCli, hub: HubServer) -> None:
    assert {row["recipe"] for row in client.json("fit", BOTH)["rows"]} == {"F16", "Q4_0"}
    client.run("pull", BOTH, "--yes")
    assert client.json("list")[0]["recipe"] == "Q4_0"
    assert hub.sent_bytes("F16") < 2 << 20
    client.run("pull", f"{BOTH}:F16", "--yes", "--name", "as:is")
    assert client.json("show", "as:is")["plan"]["recipe"] == "F16"


def test_what_fits_is_made_when_no_published_quant_does(client: HubCli) -> None:
    sizes = iter(range(98, 140))
    fit: dict[str, Any] = {"choice": None}
    while fit["choice"] is None:  # the least memory that holds anything: less than the published Q4_0 takes
        memory = f"{next(sizes)}MiB"
        done = subprocess.run(
            client.command("fit", BOTH, "--memory", memory, "--json"),
            env=client.environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode in (0, 4)
        fit = json.loads(done.stdout)
    assert fit["choice"] in ("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "IQ4_XS")
    done_pull = client.run("pull", BOTH, "--memory", memory, "--yes")
    assert f"F16, quantized here to {fit['choice']}" in done_pull.stderr
    assert client.json("list")[0]["recipe"] == fit["choice"]


@pytest.mark.parametrize("repository", [SPLIT, UNNAMED])
def test_split_floats_and_floats_whose_name_says_nothing_are_quantized_too(client: HubCli, repository: str) -> None:
    client.run("pull", repository, "--yes")
    assert client.json("list")[0]["recipe"] in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
    assert leftovers(client) == []


def test_pack_quantizes_for_several_devices_from_one_download(client: HubCli, hub: HubServer, tiny_gguf: Path) -> None:
    client.run("pack", FLOATS, "--device", "raspberrypi5", "--device", "raspberrypi4", "--quant", "Q8_0")
    assert [row["recipe"] for row in client.json("list")] == ["Q8_0", "Q8_0"]
    assert hub.sent_bytes(".gguf") < tiny_gguf.stat().st_size + (4 << 20)


def test_quantizing_floats_needs_no_extra(client: HubCli, tmp_path: Path) -> None:
    client.run("pull", f"{FLOATS}:Q4_0", "--yes", environment=without_pack_extra(tmp_path / "blocked"))
    assert client.json("list")[0]["recipe"] == "Q4_0"


def test_a_name_that_is_no_recipe_says_what_there_is(client: HubCli) -> None:
    refused = client.run("pull", f"{FLOATS}:Q9_X", "--yes", status=3)
    assert "F16 (" in refused.stderr
    assert "Q8_0" in refused.stderr


def test_gc_leaves_a_download_that_is_being_packed(client: HubCli) -> None:
    process = client.start("pull", FLOATS, "--yes")
    taken: list[Path] = []
    while not taken:  # the download under its name, as the pack reads it
        assert process.poll() is None
        taken = list((client.home / "cache").glob("headers-*/files/*.gguf"))
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGSTOP)
    there = taken[0].exists()
    client.run("gc", "--cache")
    assert taken[0].exists() == there
    os.killpg(process.pid, signal.SIGCONT)
    assert process.wait(120) == 0
    assert client.json("verify")["findings"] == []
    assert leftovers(client) == []
