"""A store on a read-only disk, the user's or the machine's: everything that only reads works from it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_process import Cli
from tmpfs import make_read_only, tmpfs

NAME = "tiny-llm:raspberrypi5-q4_0"


@pytest.fixture
def read_only_store(tmp_path: Path, tiny_llm: Path) -> Iterator[Path]:
    """A store with tiny-llm on a tmpfs that was made read-only afterwards."""
    with tmpfs(tmp_path / "disk", "size=64m") as disk:
        maker = Cli(tmp_path / "maker")
        environment = {"EDGELLM_STORE": str(disk / "store")}
        maker.run("pack", tiny_llm, "--device", "raspberrypi5", "--quant", "Q4_0", environment=environment)
        make_read_only(disk)
        yield disk / "store"


@pytest.mark.parametrize("variable", ["EDGELLM_STORE", "EDGELLM_SYSTEM_STORE"])
def test_what_only_reads_works(cli: Cli, read_only_store: Path, tmp_path: Path, variable: str) -> None:
    environment = {variable: str(read_only_store)}

    def run(*arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        return cli.run(*arguments, status=status, environment=environment)

    assert NAME in run("list").stdout
    assert NAME in run("show", "tiny-llm").stdout
    assert "Apache-2.0" in run("show", "tiny-llm", "--license").stdout
    assert "all as they should be" in run("verify").stderr
    assert run("run", "tiny-llm", "Hello", "-n", "3", "--temperature", "0").stdout.strip()
    assert "Q4_0" in run("fit", "tiny-llm", "--device", "raspberrypi5").stdout
    run("export", "tiny-llm", tmp_path / "b.tar")
    run("export", "tiny-llm", tmp_path / "b")
    assert "machine's store" in run("rm", NAME, "--yes", status=1).stderr or variable == "EDGELLM_STORE"
    assert not (cli.home / "store").exists()


def test_the_machines_bundle_is_copied_into_the_users_store(cli: Cli, read_only_store: Path) -> None:
    environment = {"EDGELLM_SYSTEM_STORE": str(read_only_store)}
    assert "system" in cli.run("list", environment=environment).stdout
    cli.run("cp", "tiny-llm", "mine", environment=environment)
    rows = {line.split()[0]: line.split()[1] for line in cli.run("list", environment=environment).stdout.splitlines()}
    assert rows == {"NAME": "STORE", "mine:raspberrypi5-q4_0": "user", NAME: "system"}
    assert [row["name"] for row in cli.json("list")] == ["mine:raspberrypi5-q4_0"]
    assert cli.json("verify")["findings"] == []


def test_what_the_machine_has_is_not_written_again(cli: Cli, read_only_store: Path, tmp_path: Path) -> None:
    environment = {"EDGELLM_SYSTEM_STORE": str(read_only_store)}
    tar = tmp_path / "b.tar"
    cli.run("export", "tiny-llm", tar, environment=environment)
    assert "in the machine's store already" in cli.run("import", tar, environment=environment).stderr
    cli.run("import", tar, "--name", "mine", environment=environment)
    weights = max((read_only_store / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    assert not (cli.home / "store" / "blobs" / "sha256" / weights.name).exists()
    usage = json.loads(cli.run("df", "--json", environment=environment).stdout)
    own = next(store for store in usage["stores"] if not store["system"])
    assert own["total_bytes"] == own["bundles_bytes"] < 4096
    assert cli.run("run", "mine", "Hello", "-n", "3", environment=environment).stdout.strip()
    assert "all as they should be" in cli.run("verify", environment=environment).stderr
    assert "missing" in cli.run("verify", "mine", status=5).stderr
