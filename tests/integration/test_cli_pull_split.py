"""A hub's model in several GGUF files: planned from the headers of all, downloaded, and packed as one file."""

from __future__ import annotations

import shutil
from pathlib import Path

from cli_process import Cli
from edgellm.formats.gguf_split import read_model
from gguf_parts import split_gguf
from hub_server import HubServer

REPOSITORY = "acme/tiny-llm-GGUF"


def test_a_split_model_of_a_hub_becomes_the_bundle_of_its_parts(cli: Cli, tiny_gguf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub" / REPOSITORY
    folder.mkdir(parents=True)
    parts = split_gguf(tiny_gguf, folder, "tiny-llm-F16", 3)
    local = Cli(tmp_path / "local")
    copies = [Path(shutil.copyfile(part, tmp_path / part.name)) for part in parts]
    local.run("pack", copies[0], "--device", "raspberrypi5", "--quant", "F16")
    [expected] = [file for file in local.json("show", local.json("list")[0]["name"])["files"] if "gguf" in file["path"]]
    with HubServer(tmp_path / "hub") as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "EDGELLM_DEVICE": "raspberrypi5"}
        fit = cli.run("fit", f"{REPOSITORY}:F16", "--json", environment=environment).stdout
        assert f'"weights_bytes": {sum(tensor.size_bytes for tensor in read_model(parts).header.tensors)}' in fit
        cli.run("pull", f"{REPOSITORY}:F16", "--yes", environment=environment)
        for part in parts:
            assert hub.sent_bytes(part.name) < part.stat().st_size + (4 << 20)
    shown = cli.json("show", cli.json("list")[0]["name"])
    [weights] = [file for file in shown["files"] if "gguf" in file["path"]]
    assert weights["digest"] == expected["digest"]
    assert sorted(shown["plan"]["source"]["files"]) == [part.name for part in parts]
    assert not list((cli.home / "store").rglob("*00001-of-*"))
