"""Everything that edgellm keeps on the disks of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgellm.files import existing_parent, os_errors
from edgellm.paths import Paths
from edgellm.sources.caches import CachedModel, cache_bytes, cached_models, partial_checkpoints
from edgellm.sources.download import list_downloads
from edgellm.sources.snapshot import hub_cache
from edgellm.store.store import Store
from edgellm.store.usage import StoreUsage, store_usage

__all__ = ["DiskFree", "DiskUsage", "FilesUsage", "disk_usage"]


class FilesUsage(msgspec.Struct, frozen=True):
    """Some files, and how many bytes they take."""

    path: str
    files: int
    size_bytes: int


class DiskFree(msgspec.Struct, frozen=True):
    """One disk, by the first of our folders on it."""

    path: str
    free_bytes: int
    total_bytes: int


class DiskUsage(msgspec.Struct, frozen=True):
    """What `edgellm df` shows. ``total_bytes`` is edgellm's own: of the shared cache only partial checkpoints."""

    stores: tuple[StoreUsage, ...]
    partial_downloads: FilesUsage
    finished_downloads: FilesUsage
    partial_checkpoints: FilesUsage  # in the shared cache, but nobody else's
    cache: FilesUsage  # without the prefixes and the prepared weights
    prefixes: FilesUsage
    prepared: FilesUsage  # weights of ONNX models in this processor's layout
    hub_cache: FilesUsage  # of all Hugging Face tools
    hub_models: tuple[CachedModel, ...]
    disks: tuple[DiskFree, ...]
    total_bytes: int


def disk_usage(store: Store, paths: Paths) -> DiskUsage:
    """Look at the stores, the downloads and the caches. Raises BundleError for a store whose index cannot be read."""
    shared = hub_cache()
    stores = store_usage(store)
    downloads = list_downloads(store.downloads)
    checkpoints = partial_checkpoints(shared)
    by_state = {
        state: FilesUsage(str(store.downloads), len(sizes), sum(sizes))
        for state in ("partial", "finished")
        for sizes in ([download.size_bytes for download in downloads if download.state == state],)
    }
    prefixes = FilesUsage(str(paths.prefixes), _prefixes(paths.prefixes), cache_bytes(paths.prefixes))
    prepared = FilesUsage(str(paths.prepared), _entries(paths.prepared), cache_bytes(paths.prepared))
    own_cache = FilesUsage(
        str(paths.cache),
        _entries(paths.cache) - paths.prefixes.exists() - paths.prepared.exists(),
        cache_bytes(paths.cache) - prefixes.size_bytes - prepared.size_bytes,
    )
    models = cached_models(shared)
    unfinished = FilesUsage(str(shared), len(checkpoints), sum(part.size_bytes for part in checkpoints))
    own_stores = sum(usage.total_bytes for usage in stores if not usage.system)
    return DiskUsage(
        stores=tuple(stores),
        partial_downloads=by_state["partial"],
        finished_downloads=by_state["finished"],
        partial_checkpoints=unfinished,
        cache=own_cache,
        prefixes=prefixes,
        prepared=prepared,
        hub_cache=FilesUsage(str(shared), len(models), sum(model.size_bytes for model in models)),
        hub_models=tuple(models),
        disks=tuple(_disks([*(Path(usage.root) for usage in stores), paths.cache, shared])),
        total_bytes=own_stores
        + sum(download.size_bytes for download in (*downloads, *checkpoints))
        + own_cache.size_bytes
        + prefixes.size_bytes
        + prepared.size_bytes,
    )


def _entries(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def _prefixes(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*.kv")) if folder.is_dir() else 0


def _disks(folders: Iterable[Path]) -> Iterable[DiskFree]:
    seen: set[int] = set()
    for folder in folders:
        with os_errors(f"look at the disk of {folder}"):
            existing = existing_parent(folder)
            number = existing.stat().st_dev
            if number not in seen:
                seen.add(number)
                facts = shutil.disk_usage(existing)
                yield DiskFree(str(folder), facts.free, facts.total)
