"""What is counted on the disks, and what gc --cache may take away."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from bundle_parts import for_device, write_bundle
from edgellm.bundle.names import BundleName
from edgellm.cli.gc_caches import clean_caches
from edgellm.files import tree_bytes
from edgellm.paths import Paths, path_origins, user_paths
from edgellm.sources.caches import cached_models, clear_cache, remove_cached_models
from edgellm.sources.disk_usage import disk_usage
from edgellm.store.store import Store
from edgellm.store.usage import store_usage


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return user_paths({"EDGELLM_HOME": str(tmp_path / "home")})


def store_with_two(paths: Paths) -> Store:
    store = Store(paths.store, paths.state)
    with store.writer() as writer:
        write_bundle(writer, "tiny:a")
        write_bundle(writer, "tiny:b", plan=for_device("raspberrypi4"))
    return store


def hub_model(paths: Paths, name: str, size_bytes: int) -> Path:
    hub = paths.cache.parents[1] / "hf/hub"
    folder = hub / f"models--{name.replace('/', '--')}"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "0123").write_bytes(bytes(size_bytes))
    (folder / "snapshots" / "main").mkdir(parents=True)
    (folder / "snapshots" / "main" / "model.gguf").symlink_to("../../blobs/0123")
    return folder


def test_own_and_shared_bytes_add_up_to_what_lies_on_the_disk(paths: Paths) -> None:
    store = store_with_two(paths)
    (usage,) = store_usage(store)
    assert usage.total_bytes == sum(path.stat().st_size for path in (paths.store / "blobs/sha256").iterdir())
    assert usage.total_bytes == usage.bundles_bytes
    assert (usage.former_bytes, usage.unused_bytes) == (0, 0)
    assert {bundle.shared_bytes for bundle in usage.bundles} == {usage.bundles[0].shared_bytes}
    assert sum(bundle.own_bytes for bundle in usage.bundles) + usage.bundles[0].shared_bytes == usage.total_bytes


def test_removing_a_bundle_makes_its_own_bytes_unused_and_gc_returns_just_these(paths: Paths) -> None:
    store = store_with_two(paths)
    own = {bundle.name: bundle.own_bytes for bundle in store_usage(store)[0].bundles}
    store.remove("tiny:a")
    (usage,) = store_usage(store)
    assert usage.unused_bytes == own["tiny:a"]
    assert store.gc().freed_bytes == own["tiny:a"]


def test_what_only_a_former_bundle_needs_is_told_apart(paths: Paths) -> None:
    store = store_with_two(paths)
    before = store_usage(store)[0].total_bytes
    own = {bundle.name: bundle.own_bytes for bundle in store_usage(store)[0].bundles}
    store.copy("tiny:b", BundleName("tiny", "a"))
    (usage,) = store_usage(store)
    assert (usage.former_bytes, usage.unused_bytes, usage.total_bytes) == (own["tiny:a"], 0, before)


def test_a_machine_without_anything_uses_nothing(paths: Paths) -> None:
    usage = disk_usage(Store(paths.store, paths.state), paths)
    assert usage.total_bytes == 0
    assert usage.hub_models == ()
    assert not paths.store.exists()
    assert len(usage.disks) == 1


def test_the_machines_store_is_listed_and_not_counted_as_the_users(paths: Paths, tmp_path: Path) -> None:
    system = Paths(paths.config, tmp_path / "system", paths.state, paths.cache, paths.runtime)
    store_with_two(system)
    store = Store(paths.store, paths.state, tmp_path / "system")
    usage = disk_usage(store, paths)
    assert [(found.system, len(found.bundles)) for found in usage.stores] == [(False, 0), (True, 2)]
    assert usage.total_bytes == 0


def test_links_of_the_shared_cache_are_not_counted_twice(paths: Paths) -> None:
    folder = hub_model(paths, "acme/tiny-1B", 5000)
    (model,) = cached_models(folder.parent)
    assert (model.name, model.size_bytes, model.held) == ("acme/tiny-1B", 5000, False)


def test_a_model_that_a_tool_is_downloading_stays(paths: Paths) -> None:
    folder = hub_model(paths, "acme/busy", 100)
    idle = hub_model(paths, "acme/idle", 200)
    lock = folder.parent / ".locks" / folder.name / "0123.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        removed = remove_cached_models(folder.parent)
        assert [model.name for model in removed] == ["acme/idle"]
        assert (folder.exists(), idle.exists()) == (True, False)
    assert [model.name for model in remove_cached_models(folder.parent)] == ["acme/busy"]


def test_only_models_leave_the_shared_cache(paths: Paths) -> None:
    hub = hub_model(paths, "acme/tiny", 10).parent
    for other in ("datasets--acme--text", "version.txt"):
        (hub / other).mkdir()
    (hub / "models--linked").symlink_to(paths.cache.parent)
    remove_cached_models(hub)
    assert {path.name for path in hub.iterdir()} == {"datasets--acme--text", "version.txt", "models--linked"}


def test_gc_of_the_caches_spares_what_is_held_and_a_dry_run_spares_everything(paths: Paths) -> None:
    store = Store(paths.store, paths.state)
    store.downloads.mkdir(parents=True)
    files = {name: store.downloads / name for name in ("a" * 64 + ".part", "b" * 64, "c" * 64 + ".part")}
    for path in files.values():
        path.write_bytes(os.urandom(8192))
    (paths.cache / "wheels").mkdir(parents=True)
    (paths.cache / "wheels" / "x.whl").write_bytes(bytes(300))
    model = hub_model(paths, "acme/tiny", 700)
    held = files["c" * 64 + ".part"]
    with held.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        said = clean_caches(store, paths, hub=True, dry_run=True)
        assert (said.downloads, said.cache_bytes, said.hub_models, said.hub_bytes, said.in_use) == (2, 300, 1, 700, 1)
        assert all(path.exists() for path in files.values())
        assert model.exists()
        done = clean_caches(store, paths, hub=False, dry_run=False)
    assert (done.downloads, done.cache_bytes, done.hub_models, done.in_use) == (2, 300, 0, 1)
    assert done.freed_bytes == done.downloads_bytes + 300
    assert [path.exists() for path in files.values()] == [False, False, True]
    assert model.exists()
    assert list(paths.cache.iterdir()) == []


def test_a_checkpoint_that_stopped_on_the_way_is_ours_and_counted_once(paths: Paths) -> None:
    store = Store(paths.store, paths.state)
    blobs = hub_model(paths, "acme/tiny", 700) / "blobs"
    part = blobs / ("a" * 64 + ".part")
    part.write_bytes(os.urandom(8192))
    usage = disk_usage(store, paths)
    assert (usage.partial_checkpoints.files, usage.partial_checkpoints.size_bytes) == (1, 8192)
    assert (usage.hub_cache.size_bytes, usage.total_bytes) == (700, 8192)
    said = clean_caches(store, paths, hub=True, dry_run=True)
    assert (said.downloads_bytes, said.hub_bytes, said.freed_bytes) == (8192, 700, 8892)
    with part.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert clean_caches(store, paths, hub=False, dry_run=False).in_use == 1
    done = clean_caches(store, paths, hub=False, dry_run=False)
    assert (done.freed_bytes, done.in_use, part.exists()) == (8192, 0, False)
    assert disk_usage(store, paths).total_bytes == 0


def test_holes_are_not_counted(paths: Paths) -> None:
    mirrored = paths.cache / "headers-1" / "model.safetensors"
    mirrored.parent.mkdir(parents=True)
    with mirrored.open("wb") as file:
        file.write(bytes(100))
        file.truncate(1 << 30)
    assert disk_usage(Store(paths.store, paths.state), paths).cache.size_bytes < 1 << 20
    assert clear_cache(paths.cache)[0] < 1 << 20


def test_a_link_in_the_cache_is_removed_and_not_followed(paths: Paths, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_bytes(bytes(9999))
    paths.cache.mkdir(parents=True)
    (paths.cache / "link").symlink_to(precious)
    assert clear_cache(paths.cache)[0] < 9999
    assert (precious / "file").exists()
    assert not (paths.cache / "link").is_symlink()


def test_bytes_of_a_tree_follow_no_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_bytes(bytes(10))
    (tmp_path / "loop").symlink_to(tmp_path)
    assert tree_bytes(tmp_path / "in") == 10
    assert tree_bytes(tmp_path) == 10
    assert tree_bytes(tmp_path / "missing") == 0


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("default", "default")),
        ({"EDGELLM_HOME": "/x"}, ("EDGELLM_HOME", "EDGELLM_HOME")),
        ({"XDG_CACHE_HOME": "/c"}, ("default", "XDG_CACHE_HOME")),
        ({"XDG_CACHE_HOME": "relative"}, ("default", "default")),
    ],
)
def test_folders_know_where_they_come_from(environ: dict[str, str], expected: tuple[str, str]) -> None:
    origins = path_origins(environ)
    assert (origins["config"], origins["cache"]) == expected
