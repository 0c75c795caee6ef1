"""Packs that are killed at random moments leave the old state or the new one, and gc finds the rest."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
from pathlib import Path

from bundle_parts import write_bundle
from edgellm.bundle.names import BundleName
from edgellm.store.store import Store
from store_child import start_child

KILLS = 50


def disk_bytes(folder: Path) -> int:
    """What du counts: blocks of files; empty folders apart."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if not path.is_dir())


def test_fifty_killed_packs_leave_a_store_that_works(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path / "state")
    chance = random.Random(7)
    leftovers = 0
    nursery = start_child("nursery", str(tmp_path))
    for kill in range(KILLS):
        pack_and_kill(nursery, str(kill), chance.uniform(0.0, 0.1))
        assert all(row.problem is None for row in store.list())
        assert store.verify().findings == []
        leftovers += store.gc(dry_run=True).leftovers + store.gc(dry_run=True).blobs
        if kill % 5 == 0:
            with store.writer() as writer:
                digest = write_bundle(writer, "after:kill", license_text=str(kill).encode())
            assert store.resolve("after").digest == digest
    assert leftovers > 0, "no kill hit a running write"
    nursery.communicate()
    store.gc()
    blobs = {digest for row in store.list() for digest in (row.bundle.blobs if row.bundle else {})}
    blobs |= {digest for row in previous(store) for digest in row}
    assert {f"sha256:{path.name}" for path in (store.root / "blobs" / "sha256").iterdir()} == blobs
    for row in store.list():
        store.remove(row.full_name)
    store.gc()
    empty = Store(tmp_path / "empty", tmp_path / "state")
    with empty.writer():
        pass
    assert disk_bytes(store.root) == disk_bytes(empty.root)
    assert sorted(path.name for path in store.root.rglob("*")) == sorted(path.name for path in empty.root.rglob("*"))


def pack_and_kill(nursery: subprocess.Popen[str], seed: str, after_s: float) -> None:
    """Let a process pack for ``after_s`` seconds, then SIGKILL it; returns when it is dead."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    print(seed, file=nursery.stdin, flush=True)
    process_id = int(nursery.stdout.readline())
    ended, _, _ = select.select([nursery.stdout], [], [], after_s)
    assert not ended, "the packing process ended by itself"
    os.kill(process_id, signal.SIGKILL)
    assert nursery.stdout.readline() == "dead\n"


def previous(store: Store) -> list[dict[str, int]]:
    """The blobs of the former bundles."""
    names = [BundleName(row.name, row.tag) for row in store.list() if row.previous_digest]
    return [store.resolve(f"{name}@previous").bundle.blobs for name in names]
