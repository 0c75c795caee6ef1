"""A disk that fills up, at every moment of a pack: a clear error and nothing half visible."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bundle_parts import gguf_bytes, write_bundle
from cli_process import Cli
from edgellm.bundle.folder_writer import layout_writer
from edgellm.bundle.tar_writer import tar_writer
from edgellm.bundle.writer import BundleWriter
from edgellm.errors import AccessError, NoSpaceError
from edgellm.store.reserve import RESERVE_FILE
from edgellm.store.store import Store
from tmpfs import PAGE_BYTES, fill, fill_rest, make_read_only, tmpfs


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 4 MiB."""
    with tmpfs(tmp_path / "disk", "size=4m") as disk:
        yield disk


def write_too_much(writer: BundleWriter) -> None:
    with writer.blob() as blob:
        for _ in range(5):
            blob.write(bytes(1 << 20))


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_pack_that_needs_more_than_there_is_fails_before_or_while_it_writes(small_disk: Path) -> None:
    store = Store(small_disk / "store", small_disk / "state")
    with store.writer() as writer, pytest.raises(NoSpaceError, match="needs"), writer.blob(5 << 20):
        pass
    for target in (store.writer, lambda: layout_writer(small_disk / "b"), lambda: tar_writer(small_disk / "b.tar")):
        with target() as writer, pytest.raises(NoSpaceError) as caught:
            write_too_much(writer)
        assert caught.value.hint
    assert sorted(path.name for path in small_disk.iterdir()) == ["store"]
    assert store.list() == []
    assert store.gc().freed_bytes == 0


def test_the_disk_may_fill_at_any_moment_of_a_pack(small_disk: Path) -> None:
    store = Store(small_disk / "store", small_disk / "state")
    with store.writer() as writer:
        write_bundle(writer, "kept:a")
    before = contents(store.root)
    failures = 0
    for pages in range(60):
        filler = fill(small_disk, pages * PAGE_BYTES)
        try:
            with store.writer() as writer:
                write_bundle(writer, "new:a", weights=gguf_bytes(1), license_text=b"other")
        except NoSpaceError:
            failures += 1
            assert contents(store.root) == before, f"with {pages} pages left"
            assert store.verify().findings == []
            assert store.gc().freed_bytes == 0
            filler.unlink()
        else:
            break
    assert failures >= 5, "the disk was never full"
    assert [row.full_name for row in store.list()] == ["kept:a", "new:a"]
    assert store.verify().findings == []


@pytest.mark.parametrize("target", ["folder", "tar"])
def test_an_output_on_a_full_disk_is_whole_or_absent(small_disk: Path, target: str) -> None:
    failures = 0
    for pages in range(60):
        filler = fill(small_disk, pages * PAGE_BYTES)
        try:
            with layout_writer(small_disk / "out") if target == "folder" else tar_writer(small_disk / "out") as writer:
                write_bundle(writer)
        except NoSpaceError:
            failures += 1
            assert [path.name for path in small_disk.iterdir()] == ["filler"], f"with {pages} pages left"
            filler.unlink()
        else:
            break
    assert failures >= 3, "the disk was never full"
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "out"]


def test_a_full_disk_can_be_freed(small_disk: Path) -> None:
    cli = Cli(small_disk)
    store = Store(small_disk / "store", small_disk / "state")
    for name, pattern in (("one:a", 1), ("two:a", 2), ("three:a", 3)):
        with store.writer() as writer:
            write_bundle(writer, name, weights=gguf_bytes(pattern))
    fill_rest(small_disk)
    assert cli.run("gc").stderr.startswith("freed 0 B"), "what is used is not removed, and nothing needs space for that"
    assert "removed one:a" in cli.run("rm", "one", "--yes").stderr
    fill_rest(small_disk)
    assert "removed two:a" in cli.run("rm", "two", "--yes").stderr
    assert [row.full_name for row in store.list()] == ["three:a"]
    assert store.verify().findings == []
    assert store.gc().blobs > 0
    assert os.statvfs(small_disk).f_bavail > 0
    with store.writer() as writer:
        write_bundle(writer, "four:a", weights=gguf_bytes(4))
    fill_rest(small_disk)
    store.remove("four")  # the reserve is there again


def test_a_store_of_an_older_edgellm_gets_its_reserve(small_disk: Path) -> None:
    store = Store(small_disk / "store", small_disk / "state")
    with store.writer() as writer:
        write_bundle(writer, "kept:a")
    reserve = store.root / RESERVE_FILE
    for repair in (store.writer, store.gc):
        reserve.unlink()
        repair()
        assert reserve.stat().st_blocks * 512 >= 64 << 10, "it is really there and no hole"
    reserve.unlink()
    store.gc(dry_run=True)
    assert not reserve.exists()


def test_a_removal_that_dies_on_a_full_disk_leaves_the_old_index_or_the_new(small_disk: Path) -> None:
    store = Store(small_disk / "store", small_disk / "state")
    for name in ("kept:a", "gone:a"):
        with store.writer() as writer:
            write_bundle(writer, name, license_text=name.encode())
    fill_rest(small_disk)
    deaths = 0
    while not dies_removing(store, "gone", deaths):
        names = [row.full_name for row in store.list()]
        assert names in (["gone:a", "kept:a"], ["kept:a"]), f"after {deaths} calls"
        assert store.verify().findings == []
        if names == ["kept:a"]:
            break
        deaths += 1
    assert deaths >= 3, "it never died in between"
    assert store.gc().blobs > 0
    assert [row.problem for row in store.list()] == [None]
    assert (store.root / RESERVE_FILE).stat().st_size == 64 << 10


def dies_removing(store: Store, name: str, after_calls: int) -> bool:
    """Remove in a process that dies before its ``after_calls``-th change of a file; True when it lived to the end."""
    process_id = os.fork()
    if process_id:
        status = os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])
        assert status in (0, 9)
        return status == 0
    try:
        left = iter(range(after_calls))
        for function in ("fsync", "replace", "unlink"):
            setattr(os, function, dying(getattr(os, function), left))
        store.remove(name)
        os._exit(0)
    finally:
        os._exit(1)


def dying(function: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    """``function`` as long as something is ``left``; then the process ends at once."""

    def call(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            os._exit(9)
        return function(*arguments, **options)

    return call


def test_a_read_only_disk_can_be_read_and_refuses_changes(small_disk: Path) -> None:
    store = Store(small_disk / "store", small_disk / "state")
    with store.writer() as writer:
        write_bundle(writer)
    make_read_only(small_disk)
    opened = store.resolve("tiny")
    with opened.hold():
        assert opened.weights_path.read_bytes() == gguf_bytes()
    assert store.verify().findings == []
    assert len(store.list()) == 1
    for action in (store.writer, store.gc, lambda: store.remove("tiny")):
        with pytest.raises(AccessError):
            action()
