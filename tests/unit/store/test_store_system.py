"""The machine's store below the user's: it is read like the user's own and never written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundle_parts import for_device, gguf_bytes, write_bundle
from edgellm.bundle.names import BundleName
from edgellm.errors import AccessError, BundleError, NotFoundError
from edgellm.paths import SYSTEM_STORE, user_paths
from edgellm.settings import load_settings
from edgellm.store.store import Store


@pytest.fixture
def system(tmp_path: Path) -> Store:
    store = Store(tmp_path / "system", tmp_path / "system-state")
    with store.writer() as writer:
        write_bundle(writer, "tiny:a")
        write_bundle(writer, "shipped:a", weights=gguf_bytes(2), plan=for_device("raspberrypi4"))
    return store


@pytest.fixture
def stacked(system: Store, tmp_path: Path) -> Store:
    return Store(tmp_path / "user", tmp_path / "state", system.root)


def everything(root: Path) -> dict[str, tuple[int, float]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*")}


def test_what_reads_covers_both_and_writes_into_neither(stacked: Store, system: Store) -> None:
    before = everything(system.root)
    assert [(row.full_name, row.system) for row in stacked.list()] == [("shipped:a", True), ("tiny:a", True)]
    opened = stacked.resolve("tiny")
    with opened.hold():
        assert opened.weights_path.parent == system.root / "blobs" / "sha256"
    assert stacked.show("tiny").digest == opened.digest
    assert stacked.verify().bundles == 2
    assert stacked.verify("shipped").bundles == 1
    stacked.save_smoke(opened.digest, {"tokens_per_s": 1.0})
    stacked.gc()
    assert stacked.load_smoke(opened.digest) == {"tokens_per_s": 1.0}
    assert everything(system.root) == before
    assert not stacked.root.exists()


def test_the_users_bundle_hides_one_with_the_same_name(stacked: Store, system: Store) -> None:
    with stacked.writer() as writer:
        own = write_bundle(writer, "tiny:a", weights=gguf_bytes(7))
    assert [(row.full_name, row.system) for row in stacked.list()] == [("shipped:a", True), ("tiny:a", False)]
    assert stacked.resolve("tiny").digest == own
    hidden = system.resolve("tiny").digest
    assert stacked.resolve(f"tiny@{hidden}").digest == hidden
    with pytest.raises(NotFoundError):
        stacked.resolve("tiny@previous")
    stacked.remove("tiny")
    assert stacked.resolve("tiny").digest == hidden
    assert stacked.verify().findings == []


def test_a_name_without_a_tag_looks_in_both(stacked: Store) -> None:
    with stacked.writer() as writer:
        write_bundle(writer, "tiny:b", plan=for_device("raspberrypi4"))
    assert stacked.find("tiny", "raspberrypi4").system is False
    assert stacked.find("tiny", "raspberrypi5").system is True


def test_the_machines_bundles_are_not_removed_from_here(stacked: Store, system: Store) -> None:
    with pytest.raises(AccessError, match="machine's store") as caught:
        stacked.remove("tiny")
    assert f"EDGELLM_STORE={system.root} edgellm rm tiny:a" in str(caught.value.hint)
    stacked.gc()
    assert len(system.list()) == 2


def test_a_copy_of_the_machines_bundle_becomes_the_users(stacked: Store, system: Store) -> None:
    digest = stacked.copy("tiny", BundleName("mine", "a"))
    assert digest == system.resolve("tiny").digest
    assert stacked.find("mine").system is False
    assert Store(stacked.root, stacked.root / "state").verify("mine").findings == []
    stacked.copy("tiny", BundleName("tiny", "a"))
    assert stacked.find("tiny").system is False


def test_a_damaged_bundle_of_the_machine_is_found_and_not_copied(stacked: Store, system: Store) -> None:
    path = system.resolve("tiny").weights_path
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))
    assert [finding.bundle for finding in stacked.verify().findings] == ["tiny:a"]
    with pytest.raises(BundleError, match="damaged"):
        stacked.copy("tiny", BundleName("mine", "a"))
    assert [row for row in stacked.list() if not row.system] == []


def test_no_system_store_or_the_same_one_changes_nothing(system: Store, tmp_path: Path) -> None:
    assert Store(tmp_path / "user", tmp_path / "state", tmp_path / "nowhere").system_root is None
    (tmp_path / "link").symlink_to(system.root)
    same = Store(system.root, tmp_path / "state", tmp_path / "link")
    assert same.system_root is None
    assert [row.system for row in same.list()] == [False, False]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_system_store_that_may_not_be_read_is_left_out(system: Store, tmp_path: Path) -> None:
    system.root.chmod(0)
    try:
        assert Store(tmp_path / "user", tmp_path / "state", system.root).list() == []
    finally:
        system.root.chmod(0o755)


def test_the_place_of_the_system_store_is_a_setting(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    nothing = tmp_path / "no-config"
    assert load_settings(None, home, nothing).paths.system_store == SYSTEM_STORE
    assert user_paths({"EDGELLM_HOME": str(tmp_path)}).system_store is None
    for environ in (home, {"EDGELLM_HOME": str(tmp_path)}):
        named = load_settings(None, {**environ, "EDGELLM_SYSTEM_STORE": "/srv/models"}, nothing)
        assert named.paths.system_store == Path("/srv/models")
        assert named.origin["system_store"] == "EDGELLM_SYSTEM_STORE"
        assert load_settings(None, {**environ, "EDGELLM_SYSTEM_STORE": ""}, nothing).paths.system_store is None
    nothing.write_text('system_store = ""\n')
    assert load_settings(None, home, nothing).paths.system_store is None
