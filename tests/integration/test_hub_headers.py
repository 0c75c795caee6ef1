"""The headers of a hub's model lie on the disk while a command looks at them: never longer, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from hub_cli import GGUF, HubCli, leftovers

from hub_server import HubServer
from tmpfs import tmpfs

ONE_FILE = f"{GGUF}:tiny-llm-Q8_0.gguf"


def mirrors(client: HubCli) -> list[Path]:
    return list((client.home / "cache").glob("headers-*"))


def stalled_fit(client: HubCli, hub: HubServer) -> subprocess.Popen[bytes]:
    """A `fit` that waits for the rest of a header."""
    hub.fault("cdn", "Q8_0", stall_after=4096)
    process = client.start("fit", ONE_FILE)
    while not (hub.asked("cdn", "Q8_0") and mirrors(client)):
        assert process.poll() is None
        time.sleep(0.005)
    return process


def test_the_headers_of_a_killed_command_are_removed_by_the_next_one(client: HubCli, hub: HubServer) -> None:
    process = stalled_fit(client, hub)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert mirrors(client)
    client.run("fit", ONE_FILE)
    assert leftovers(client) == []


def test_gc_of_the_cache_removes_them_too_and_spares_those_in_use(client: HubCli, hub: HubServer) -> None:
    process = stalled_fit(client, hub)
    assert "1 stay" in client.run("gc", "--cache").stderr
    assert mirrors(client)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    client.run("gc", "--cache")
    assert leftovers(client) == []


def test_without_a_writable_cache_the_folder_for_temporary_files_serves(client: HubCli, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with tmpfs(client.home, "ro"):
        assert "Q8_0" in client.run("fit", ONE_FILE, environment={"TMPDIR": str(temporary)}).stdout
        assert list(temporary.iterdir()) == []
