"""What lies in the machine's store is not written into the user's again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle_parts import for_device, gguf_bytes, write_bundle
from edgellm.errors import BundleError
from edgellm.store.store import Store
from edgellm.store.usage import store_usage
from moving_bundles import MEDIA, contents, outgoing, overwrite, packed, take_in


@pytest.fixture
def system(tmp_path: Path) -> Store:
    store = Store(tmp_path / "system", tmp_path / "system-state")
    with store.writer() as writer:
        write_bundle(writer, "tiny:a")
    return store


@pytest.fixture
def stacked(system: Store, tmp_path: Path) -> Store:
    return Store(tmp_path / "user", tmp_path / "state", system.root)


def blobs(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs" / "sha256").glob("*")}


@pytest.mark.parametrize("medium", MEDIA)
def test_the_same_bundle_under_the_same_name_changes_nothing(
    stacked: Store, system: Store, tmp_path: Path, medium: str
) -> None:
    path = packed(outgoing(system), medium, tmp_path)
    report = take_in(stacked, medium, path)
    assert [(imported.system, str(imported.name)) for imported in report.bundles] == [(True, "tiny:a")]
    assert report.written_bytes == 0
    assert [row.system for row in stacked.list()] == [True]
    assert blobs(stacked) == set()


@pytest.mark.parametrize("medium", MEDIA)
def test_another_name_borrows_all_but_the_manifest(stacked: Store, system: Store, tmp_path: Path, medium: str) -> None:
    before = contents(system)
    path = packed(outgoing(system), medium, tmp_path)
    report = take_in(stacked, medium, path, "mine:b")
    digest = system.resolve("tiny").digest
    assert report.written_bytes == 0
    assert blobs(stacked) == {digest.removeprefix("sha256:")}
    opened = stacked.resolve("mine")
    with opened.hold():
        assert opened.weights_path.parent == system.root / "blobs" / "sha256"
    assert opened.read_doc("LICENSE") == b"Apache License\n"
    assert stacked.verify("mine").findings == []
    assert stacked.verify().findings == []
    assert stacked.gc().blobs == 0
    assert contents(system) == before
    (tmp_path / "again").mkdir()
    again = packed(outgoing(stacked, "mine"), medium, tmp_path / "again")
    fresh = Store(tmp_path / "fresh", tmp_path / "fresh-state")
    take_in(fresh, medium, again)
    assert fresh.verify().findings == []


def test_df_counts_what_is_lent_where_it_lies(stacked: Store, system: Store, tmp_path: Path) -> None:
    take_in(stacked, "archive", packed(outgoing(system), "archive", tmp_path), "mine:b")
    manifest = stacked.resolve("mine")
    own, machines = store_usage(stacked)
    [row] = own.bundles
    manifest_bytes = manifest.bundle.blobs[manifest.digest]
    assert (row.own_bytes, row.shared_bytes) == (manifest_bytes, manifest.size_bytes - manifest_bytes)
    assert (own.bundles_bytes, own.former_bytes, own.unused_bytes) == (manifest_bytes, 0, 0)
    assert own.total_bytes == manifest_bytes
    assert machines.total_bytes == manifest.size_bytes
    stacked.remove("mine")
    assert stacked.gc().freed_bytes == manifest_bytes


def test_a_pack_borrows_what_is_equal(stacked: Store, system: Store) -> None:
    weights = system.resolve("tiny").weights_path
    digest = f"sha256:{weights.name}"
    with stacked.writer() as writer:
        assert writer.find_healthy(digest, weights.stat().st_size)
        taken = writer.take_file(writer.blob_file(digest), digest)
        with writer.readable(taken) as path:
            assert path == weights
        write_bundle(writer, "other:b", weights=gguf_bytes(3), plan=for_device("raspberrypi4"))
    assert digest.removeprefix("sha256:") not in blobs(stacked)


@pytest.mark.parametrize("medium", MEDIA)
def test_what_is_damaged_there_is_written_here(stacked: Store, system: Store, tmp_path: Path, medium: str) -> None:
    path = packed(outgoing(system), medium, tmp_path)
    damaged = system.resolve("tiny").weights_path
    overwrite(damaged, bytes(damaged.stat().st_size))
    report = take_in(stacked, medium, path)
    assert report.written_bytes == damaged.stat().st_size
    assert stacked.find("tiny").system is False
    assert stacked.resolve("tiny").weights_path.parent == stacked.root / "blobs" / "sha256"
    assert stacked.verify("tiny").findings == []


def test_what_the_machines_store_no_longer_has_is_told_and_comes_back_by_an_import(
    stacked: Store, system: Store, tmp_path: Path
) -> None:
    path = packed(outgoing(system), "archive", tmp_path)
    take_in(stacked, "archive", path, "mine:b")
    system.remove("tiny")
    system.gc()
    [row] = stacked.list()
    assert "missing" in (row.problem or "")
    with pytest.raises(BundleError, match="missing"):
        stacked.resolve("mine")
    assert stacked.verify().findings != []
    assert stacked.gc().damaged == []  # the manifest is the user's own
    take_in(stacked, "archive", path, "mine:b")
    assert stacked.verify().findings == []
    assert [row.problem for row in stacked.list()] == [None]


def test_a_store_that_lends_is_never_changed_by_a_failed_import(stacked: Store, system: Store, tmp_path: Path) -> None:
    path = packed(outgoing(system), "archive", tmp_path)
    data = path.read_bytes()
    before = contents(system)
    for end in range(0, len(data), 512):
        path.write_bytes(data[:end])
        try:
            take_in(stacked, "archive", path, "mine:b")
        except BundleError:
            assert stacked.list()[-1].system
        else:
            break
    assert contents(system) == before
