"""A disk that fills up, at every moment of a pack: a clear error and nothing half visible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle_parts import gguf_bytes, write_bundle
from edgellm.bundle.folder_writer import layout_writer
from edgellm.bundle.tar_writer import tar_writer
from edgellm.bundle.writer import BundleWriter
from edgellm.errors import AccessError, NoSpaceError
from edgellm.store.store import Store
from tmpfs import fill, make_read_only, tmpfs

PAGE_BYTES = 4096


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
