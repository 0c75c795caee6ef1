"""Who gets a model hears of terms that ask for attention: when it is fetched, packed, sent and received."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_cli import GGUF, HubCli

from cli_process import Cli
from hub_server import HubServer

REPOSITORY = "acme/tiny-nc-GGUF"
SAID = "CC-BY-NC-4.0 excludes commercial use"


@pytest.fixture
def client(repositories: Path, tmp_path: Path) -> Iterator[HubCli]:
    """Its hub has a file that calls itself Apache-2.0 under a card that does not."""
    folder = tmp_path / "hub" / REPOSITORY
    folder.mkdir(parents=True)
    shutil.copyfile(repositories / GGUF / "tiny-llm-Q4_0.gguf", folder / "tiny-llm-Q4_0.gguf")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    with HubServer(tmp_path / "hub") as server:
        yield HubCli(tmp_path / "home", server.url)


def test_both_licences_are_said_before_the_download_and_kept(client: HubCli) -> None:
    asked = client.run("pull", REPOSITORY, status=2)
    page = f"{client.endpoint}/{REPOSITORY}"  # type: ignore[attr-defined]
    assert f"{SAID}: {page}" in asked.stderr
    client.run("pull", REPOSITORY, "--yes")
    assert client.json("show", "tiny-nc")["licenses"] == ["Apache-2.0", "CC-BY-NC-4.0"]


def test_run_says_it_before_it_fetches(client: HubCli) -> None:
    answered = client.run("run", REPOSITORY, "Once", "--raw", "-n", "2", "--yes")
    assert SAID in answered.stderr
    assert SAID not in answered.stdout


def test_pack_export_and_import_say_it(tiny_llm: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llm, model)
    (model / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    cli, other = Cli(tmp_path / "home"), Cli(tmp_path / "other")
    assert SAID in cli.run("pack", model, "--device", "raspberrypi5", "--quant", "Q4_0").stderr
    assert SAID in cli.run("export", "model", tmp_path / "model.tar").stderr
    assert SAID in other.run("import", tmp_path / "model.tar").stderr
    assert SAID not in other.run("import", tmp_path / "model.tar", "--quiet").stderr
    (model / "README.md").write_text("# no licence\n")
    assert "licence is not stated" in cli.run("pack", model, "--device", "raspberrypi5", "--quant", "Q4_1").stderr
