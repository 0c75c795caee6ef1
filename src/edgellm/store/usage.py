"""What a store takes on the disk, and for what."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgellm.errors import EdgeLLMError
from edgellm.files import tree_bytes
from edgellm.store.folder import STAGING_FOLDER
from edgellm.store.listing import StoredBundle
from edgellm.store.store import Store

__all__ = ["BundleUsage", "StoreUsage", "store_usage"]


class BundleUsage(msgspec.Struct, frozen=True):
    """One bundle. Removing it returns ``own_bytes``; ``shared_bytes`` belong to other bundles or the machine's too."""

    name: str
    own_bytes: int
    shared_bytes: int
    problem: str | None = None  # why it cannot be read; then its bytes are not known


class StoreUsage(msgspec.Struct, frozen=True):
    """One store. ``total_bytes`` counts every file once: bundles, former bundles and what is unused."""

    root: str
    system: bool  # the machine's store, which the user's commands only read
    bundles: tuple[BundleUsage, ...]
    bundles_bytes: int  # of what is listed, each file once
    former_bytes: int  # only for NAME@previous, and what a damaged bundle may still need
    unused_bytes: int | None  # what `edgellm gc` would free; None when this user may not look
    total_bytes: int


def store_usage(store: Store) -> list[StoreUsage]:
    """The user's store, and the machine's when there is one. Weights are not read.

    Raises BundleError when an index cannot be read.
    """
    rows = store.list()
    found = [_usage(store.root, [row for row in rows if not row.system], _unused_bytes(store), system=False)]
    if store.system_root is not None:
        found.append(_usage(store.system_root, [row for row in rows if row.system], None, system=True))
    return found


def _usage(root: Path, rows: Iterable[StoredBundle], unused_bytes: int | None, *, system: bool) -> StoreUsage:
    rows = list(rows)
    blobs = {
        digest: size
        for row in rows
        if row.bundle
        for digest, size in row.bundle.blobs.items()
        if digest not in row.lent  # these count where they lie
    }
    bundles_bytes = sum(blobs.values())
    total_bytes = _folder_bytes(root / "blobs") + _folder_bytes(root / STAGING_FOLDER)
    return StoreUsage(
        root=str(root),
        system=system,
        bundles=tuple(
            BundleUsage(row.full_name, row.size_bytes - row.shared_bytes, row.shared_bytes, row.problem) for row in rows
        ),
        bundles_bytes=bundles_bytes,
        former_bytes=max(0, total_bytes - bundles_bytes - (unused_bytes or 0)),
        unused_bytes=unused_bytes,
        total_bytes=total_bytes,
    )


def _folder_bytes(folder: Path) -> int:
    """Bytes of all files below ``folder``; 0 when there is none."""
    return tree_bytes(folder) if folder.is_dir() else 0


def _unused_bytes(store: Store) -> int | None:
    """None for a store that may not be written to: gc needs its lock."""
    if not store.root.is_dir():
        return 0
    if not os.access(store.root, os.W_OK):
        return None
    try:
        return store.gc(dry_run=True).freed_bytes
    except EdgeLLMError:
        return None
