"""A pack that is killed at any moment leaves a store in which everything works, and gc returns the space."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from cli_process import Cli
from edgellm.store.store import Store

KILLS = 50
NAME = "tiny-llm:raspberrypi5-q4_0"


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_fifty_killed_packs_leave_a_working_store(cli: Cli, tiny_llm: Path) -> None:
    pack = ("pack", tiny_llm, "--device", "raspberrypi5", "--quant", "Q4_0")
    started = time.monotonic()
    cli.run(*pack)
    duration_s = time.monotonic() - started
    whole_bytes = folder_bytes(cli.home / "store")
    [row] = cli.json("list")
    store = Store(cli.home / "store", cli.home / "state")
    choose = random.Random(7)
    killed = 0
    for _ in range(KILLS):
        process = cli.start(*pack)
        time.sleep(choose.uniform(0.05, 1.1 * duration_s))  # the moment of the power cut: any
        killed += process.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it may have finished
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert [stored.digest for stored in store.list()] == [row["digest"]]
        assert store.verify().findings == []
    assert killed > KILLS // 4
    cli.run(*pack)
    assert cli.json("verify")["findings"] == []
    cli.run("gc")
    assert folder_bytes(cli.home / "store") == whole_bytes
    cli.run("run", NAME, "Hello", "-n", "2")
