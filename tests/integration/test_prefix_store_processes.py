"""Prefixes on disk with several processes, some of them killed."""

from __future__ import annotations

import random
import select
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from edgellm.files import tree_bytes
from edgellm_runtimes.kv_store import PrefixFolder, PrefixStatistics, PrefixStore
from prefix_child import FILL_KEY

CHILD = Path(__file__).resolve().parents[1] / "prefix_child.py"
CAP = 2 << 20


def start(folder: Path, seed: str, count: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(CHILD), "fill", str(folder), seed, str(count), str(CAP)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def check_all(folder: Path) -> int:
    """Open every prefix as a backend would; returns how many there are."""
    store = PrefixStore(folder, FILL_KEY, keep_free_bytes=0)
    whole, damaged = PrefixFolder(folder).list()
    assert damaged == []
    for listed in whole:
        prefix = store.open(listed)
        assert prefix is not None
        with prefix:
            data = prefix.path.read_bytes()[: listed.state_bytes]
        tokens = msgspec.json.decode(data[: data.index(b"]") + 1])
        assert data == repr(tokens).encode() * (len(data) // len(repr(tokens)))
        match = store.find(tokens)
        assert match is not None
        assert match.length == 20
    assert store.statistics().rejected == 0
    return len(whole)


def test_a_killed_save_leaves_no_torn_prefix_and_its_leftovers_go(tmp_path: Path) -> None:
    folder = tmp_path / "prefixes"
    chance = random.Random(5)
    leftovers = 0
    for number in range(20):
        child = start(folder, f"kill-{number}")
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        wait_for_writing(folder)
        ended, _, _ = select.select([child.stdout], [], [], chance.random() * 0.02)  # anywhere in a save
        assert not ended, "the saving process ended by itself"
        child.kill()
        child.communicate()
        leftovers += len(temporaries(folder))
        check_all(folder)
    assert leftovers > 0, "no kill came during a save"
    store = PrefixStore(folder, FILL_KEY, CAP, 2**50, keep_free_bytes=0)
    assert store.save([1001], lambda path: path.write_bytes(b"x"), size_bytes=1, kind="system")
    store.flush()
    assert temporaries(folder) == set()
    assert tree_bytes(folder) <= CAP + 4096
    assert PrefixFolder(folder).clear().entries > 0


def temporaries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix == ".tmp"} if folder.is_dir() else set()


def wait_for_writing(folder: Path) -> None:
    """Return as soon as another save has begun."""
    before, deadline = temporaries(folder), time.monotonic() + 30
    while not temporaries(folder) - before:
        assert time.monotonic() < deadline, "nothing was saved"


def test_processes_share_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "prefixes"
    children = [start(folder, str(seed), 60) for seed in range(3)]
    reader = PrefixStore(folder, FILL_KEY, keep_free_bytes=0)
    while any(child.poll() is None for child in children):
        match = reader.find([1])
        if match is not None:
            prefix = reader.open(match.prefix)
            if prefix is not None:
                prefix.close()
    done = []
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        out, _ = child.communicate()
        assert child.returncode == 0
        done.append(msgspec.json.decode(out, type=PrefixStatistics))
    assert reader.statistics().rejected == 0
    assert all(statistics.rejected == statistics.failed == 0 for statistics in done)
    assert all(statistics.saved > 0 for statistics in done)
    assert check_all(folder) > 0
    assert tree_bytes(folder) <= CAP + 4096
