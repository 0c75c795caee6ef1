"""Imports that are killed at any moment, race each other, or meet a full disk: a whole bundle or none, no leftovers."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle_parts import gguf_bytes, write_bundle
from cli_process import Cli
from edgellm.bundle.export import Outgoing, export_file, export_folder
from edgellm.errors import NoSpaceError
from edgellm.store.store import Store
from moving_bundles import MEDIA, contents, take_in
from tmpfs import fill, tmpfs

KILLS = 50
WEIGHTS_BYTES = 48 << 20


def outgoing(root: Path, weights: bytes) -> Outgoing:
    store = Store(root / "from", root / "from-state")
    with store.writer() as writer:
        write_bundle(writer, weights=weights)
    opened = store.resolve("tiny")
    return Outgoing(store.find("tiny").name, opened.bundle, opened.layout)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that takes a while to import."""
    root = tmp_path_factory.mktemp("sender")
    export_file([outgoing(root, gguf_bytes(weights_bytes=WEIGHTS_BYTES))], root / "moving.tar")
    return root / "moving.tar"


def start(cli: Cli, archive: Path, medium: str) -> list[subprocess.Popen[bytes]]:
    """An import that runs, its sender behind it when it reads from a pipe."""
    if medium == "archive":
        return [cli.start("import", archive)]
    sender = subprocess.Popen(["cat", archive], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    reader = subprocess.Popen(
        cli.command("import", "-"),
        env=cli.environment,
        stdin=sender.stdout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert sender.stdout is not None
    sender.stdout.close()
    return [reader, sender]


def wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """The status of the import, once everybody has ended."""
    statuses = [process.wait() for process in processes]
    return statuses[0]


@pytest.mark.slow
@pytest.mark.parametrize("medium", ["archive", "pipe"])
def test_fifty_killed_imports_end_in_a_whole_bundle(cli: Cli, archive: Path, medium: str) -> None:
    reference = Cli(cli.home.parent / "reference")
    started = time.monotonic()
    assert wait(start(reference, archive, medium)) == 0
    duration_s = time.monotonic() - started
    whole = contents(Store(reference.home / "store", reference.home / "state"))
    store = Store(cli.home / "store", cli.home / "state")
    choose = random.Random(11)
    killed = interrupted = 0
    for _ in range(KILLS):
        processes = start(cli, archive, medium)
        time.sleep(choose.uniform(0.05, 1.1) * duration_s)  # the moment of the power cut: any
        killed += processes[0].poll() is None
        with contextlib.suppress(ProcessLookupError):  # it may have finished
            os.killpg(processes[0].pid, signal.SIGKILL)
        wait(processes)
        interrupted += any(store.root.glob(".staging/*"))
        rows = store.list()
        assert [row.problem for row in rows] in ([], [None])
        assert store.verify().findings == []
        if rows:  # it was faster than the kill: begin again without it
            store.remove("tiny")
            store.gc()
    assert killed > KILLS // 4
    assert interrupted, "no kill hit a running import"
    assert wait(start(cli, archive, medium)) == 0
    assert store.verify().findings == []
    assert contents(store) == whole
    assert store.gc(dry_run=True).leftovers == 0
    assert list((store.root / ".staging").iterdir()) == []


def test_two_imports_at_once_end_in_one_bundle(cli: Cli, archive: Path) -> None:
    running = [start(cli, archive, medium) for medium in ("archive", "pipe", "archive", "pipe")]
    assert [wait(processes) for processes in running] == [0, 0, 0, 0]
    store = Store(cli.home / "store", cli.home / "state")
    assert [row.full_name for row in store.list()] == ["tiny:raspberrypi5-q4_k_m"]
    assert store.verify().findings == []
    store.gc()
    assert len(list(store.root.glob("blobs/sha256/*"))) == 5
    assert list((store.root / ".staging").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 4 MiB."""
    with tmpfs(tmp_path / "disk", "size=4m") as disk:
        yield disk


@pytest.mark.parametrize("medium", MEDIA)
def test_the_disk_may_be_full_at_any_moment_of_an_import(small_disk: Path, tmp_path: Path, medium: str) -> None:
    sent = outgoing(tmp_path, gguf_bytes(1, weights_bytes=64 << 10))
    export_file([sent], tmp_path / "moving.tar")
    export_folder([sent], tmp_path / "moving")
    path = tmp_path / ("moving" if medium == "folder" else "moving.tar")
    store = Store(small_disk / "store", small_disk / "state")
    with store.writer() as writer:
        write_bundle(writer, "kept:a")
    before = contents(store)
    failures = 0
    for pages in range(60):
        filler = fill(small_disk, pages * 4096)
        try:
            take_in(store, medium, path)
        except NoSpaceError:
            failures += 1
            assert contents(store) == before, f"with {pages} pages left"
            assert store.gc().freed_bytes == 0
            filler.unlink()
        else:
            break
    assert failures >= 15, "the disk was never full"
    assert len(store.list()) == 2
    assert store.verify().findings == []


@pytest.mark.parametrize("target", ["folder", "archive"])
def test_the_disk_may_be_full_at_any_moment_of_an_export(small_disk: Path, tmp_path: Path, target: str) -> None:
    sent = outgoing(tmp_path, gguf_bytes(1, weights_bytes=64 << 10))
    failures = 0
    for pages in range(60):
        filler = fill(small_disk, pages * 4096)
        try:
            if target == "folder":
                export_folder([sent], small_disk / "out")
            else:
                export_file([sent], small_disk / "out.tar")
        except NoSpaceError:
            failures += 1
            assert [path.name for path in small_disk.iterdir()] == ["filler"], f"with {pages} pages left"
            filler.unlink()
        else:
            break
    assert failures >= 15, "the disk was never full"
