"""`pack OWNER/REPO --output`: the download lies on the store's disk, the bundle where it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_cli import CHECKPOINT, GGUF, HubCli, leftovers

from hub_server import HubServer
from tmpfs import tmpfs

Q8_0 = f"{GGUF}:Q8_0"  # 8.8 MiB
HEADERS_BYTES = 2 << 20


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_the_disk_of_the_output_is_asked_before_the_download(
    client: HubCli, hub: HubServer, tmp_path: Path, name: str
) -> None:
    with tmpfs(tmp_path / "stick", "size=6m") as stick:
        refused = client.run("pack", Q8_0, "--device", "raspberrypi5", "--output", stick / name, status=1)
        assert f"the bundle of {Q8_0} needs 8.8 MiB of disk, {stick}" in refused.stderr
        assert list(stick.iterdir()) == []
    assert hub.sent_bytes(".gguf") < HEADERS_BYTES
    assert leftovers(client) == []


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_the_disk_of_the_store_holds_the_download_alone(client: HubCli, tmp_path: Path, name: str) -> None:
    with tmpfs(client.home, "size=14m"):
        client.run("pack", Q8_0, "--device", "raspberrypi5", "--output", tmp_path / name)
        assert leftovers(client) == []
    assert client.run("verify", tmp_path / name).returncode == 0


def test_a_folder_beside_the_download_needs_no_second_copy(client: HubCli) -> None:
    with tmpfs(client.home, "size=14m") as disk:
        client.run("pack", Q8_0, "--device", "raspberrypi5", "--output", disk / "bundle")
        client.run("verify", disk / "bundle")
    with tmpfs(client.home, "size=14m") as disk:
        refused = client.run("pack", Q8_0, "--device", "raspberrypi5", "--output", disk / "bundle.tar", status=1)
        assert "needs 17.6 MiB of disk" in refused.stderr


def test_a_checkpoint_for_another_disk_is_refused_before_its_weights(
    client: HubCli, hub: HubServer, tmp_path: Path
) -> None:
    with tmpfs(tmp_path / "stick", "size=6m") as stick:
        words = ("pack", CHECKPOINT, "--device", "raspberrypi5", "--quant", "Q8_0", "--output", stick / "bundle")
        assert f"the bundle of {CHECKPOINT} needs" in client.run(*words, status=1).stderr
    assert hub.sent_bytes(".safetensors") < HEADERS_BYTES
