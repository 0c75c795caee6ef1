"""What gc removes, and what it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle_parts import for_device, gguf_bytes, write_bundle
from edgellm.bundle.manifest import Descriptor
from edgellm.errors import BusyError, NotFoundError
from edgellm.store.lock import store_lock
from edgellm.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", tmp_path / "state")


def blob(store: Store, descriptor: Descriptor) -> Path:
    return store.root / "blobs" / "sha256" / descriptor.digest.removeprefix("sha256:")


def used_bytes(store: Store) -> int:
    return sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())


def test_blobs_of_a_running_writer_are_spared(store: Store) -> None:
    with store.writer() as writer:
        with writer.blob() as weights:
            weights.write(bytes(2 << 20))
            assert store.gc().leftovers == 0
        store.gc()
        digest = write_bundle(writer)
    assert store.resolve("tiny").digest == digest
    assert store.verify().findings == []


def test_what_a_writer_committed_before_stays_for_its_next_commit(store: Store) -> None:
    with store.writer() as writer:
        first = write_bundle(writer, "tiny:a")
        weights = store.resolve("tiny").bundle.model_file
        store.remove("tiny:a")
        report = store.gc()
        assert weights.digest in report.in_use
        second = write_bundle(writer, "tiny:b", plan=for_device("raspberrypi4"))
    assert first != second
    assert store.verify().findings == []
    assert store.gc().in_use == []


def test_a_bundle_in_use_is_spared_until_it_is_let_go(store: Store) -> None:
    with store.writer() as writer:
        write_bundle(writer)
    opened = store.resolve("tiny")
    with opened.hold():
        store.remove("tiny")
        report = store.gc()
        assert (report.blobs, len(report.in_use)) == (0, 5)
        assert opened.weights_path.read_bytes() == gguf_bytes()
    assert store.gc().blobs == 5
    with pytest.raises(NotFoundError, match="removed meanwhile"), opened.hold():
        pass


def test_holding_survives_that_the_blob_is_replaced(store: Store) -> None:
    for _ in range(2):
        with store.writer() as writer:
            write_bundle(writer)
        with store.resolve("tiny").hold(), store.writer() as writer:
            write_bundle(writer)
    assert store.verify().findings == []


def test_a_dry_run_counts_and_removes_nothing(store: Store) -> None:
    with store.writer() as writer:
        write_bundle(writer)
    store.remove("tiny")
    before = used_bytes(store)
    dry = store.gc(dry_run=True)
    assert used_bytes(store) == before
    assert store.gc() == dry
    assert used_bytes(store) == before - dry.freed_bytes


def test_leftovers_of_killed_writers_are_removed(store: Store) -> None:
    with store.writer() as writer:
        write_bundle(writer)
    dead = store.root / ".staging" / "writer-dead"
    dead.mkdir()
    (dead / "partial-1").write_bytes(bytes(1000))
    (store.root / ".index.json.1.tmp").write_bytes(bytes(10))
    assert (store.gc(dry_run=True).freed_bytes, dead.exists()) == (1010, True)
    report = store.gc()
    assert (report.leftovers, report.freed_bytes) == (2, 1010)
    assert sorted(path.name for path in store.root.iterdir()) == [
        ".lock",
        ".reserve",
        ".staging",
        "blobs",
        "index.json",
        "oci-layout",
    ]


def test_a_new_writer_removes_what_a_killed_one_left(store: Store) -> None:
    with store.writer():
        pass
    dead = store.root / ".staging" / "writer-dead"
    dead.mkdir()
    with store.writer():
        assert not dead.exists()


def test_nothing_is_removed_while_a_manifest_cannot_be_read(store: Store) -> None:
    with store.writer() as writer:
        digest = write_bundle(writer, "tiny:a")
        write_bundle(writer, "tiny:b", weights=gguf_bytes(2))
    store.remove("tiny:b")
    manifest = store.root / "blobs" / "sha256" / digest.removeprefix("sha256:")
    manifest.chmod(0o644)
    manifest.write_bytes(b"{}")
    report = store.gc()
    assert (report.blobs, report.damaged) == (0, ["tiny:a"])
    store.remove("tiny:a")
    assert store.gc().blobs > 5


def test_a_former_bundle_is_kept(store: Store) -> None:
    for seed in (1, 2):
        with store.writer() as writer:
            write_bundle(writer, weights=gguf_bytes(seed))
    assert store.gc().blobs == 0
    assert store.resolve("tiny@previous").weights_path.read_bytes() == gguf_bytes(1)


def test_the_lock_is_exclusive_and_says_who_is_busy(store: Store) -> None:
    with store.writer():
        pass
    with store_lock(store.root), pytest.raises(BusyError), store_lock(store.root, timeout_s=0.01):
        pass
    with store_lock(store.root, timeout_s=0.01):
        pass
