"""Returning the space that no bundle uses.

Everything happens under the store's lock, so no commit is half done meanwhile. What may be deleted:

- staging folders whose writer is gone (their lock is free);
- blobs that no entry of the index reaches, the former bundles of tags (``@previous``) included among the reached, and
  that nobody holds a shared lock on (a running model, a writer that committed them before).

A bundle whose manifest cannot be read hides which blobs it needs: then no blob is deleted at all, and the report says
which bundle it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.reading import read_manifest
from edgellm.bundle.staging import dead_staging_folders
from edgellm.bundle.verify import entry_label
from edgellm.errors import EdgeLLMError
from edgellm.files import os_errors, tree_bytes
from edgellm.store.folder import STAGING_PREFIX, StoreFolder
from edgellm.store.lock import store_lock

__all__ = ["GcReport", "collect_garbage"]


@dataclass
class GcReport:
    """What was removed, or would be in a dry run."""

    freed_bytes: int = 0
    blobs: int = 0
    leftovers: int = 0  # staging folders and temporary files of killed processes
    in_use: list[str] = field(default_factory=list)  # digests of unreferenced blobs that somebody holds
    damaged: list[str] = field(default_factory=list)  # bundles that kept every blob from being deleted


def collect_garbage(folder: StoreFolder, *, dry_run: bool) -> GcReport:
    """Remove what no bundle uses. Raises BundleError when the index cannot be read; then nothing is removed."""
    report = GcReport()
    if not folder.root.is_dir():
        return report
    with store_lock(folder.root):
        entries = folder.entries()
        _remove_leftovers(folder, report, dry_run)
        reached = _reached(folder, entries, report)
        if report.damaged:
            return report
        with os_errors(f"clean the store {folder.root}"):
            for digest in sorted(folder.layout.blob_digests() - reached):
                _remove_blob(folder.layout.blob_path(digest), digest, report, dry_run)
        if folder.exists and not dry_run:
            folder.keep_reserve()
    return report


def _reached(folder: StoreFolder, entries: list[Descriptor], report: GcReport) -> set[str]:
    """The digests that the index leads to; fills ``report.damaged``."""
    reached: set[str] = set()
    for entry in entries:
        try:
            manifest = read_manifest(folder.layout, entry)
        except EdgeLLMError:
            report.damaged.append(entry_label(entry))
            continue
        reached |= {entry.digest, manifest.config.digest, *(layer.digest for layer in manifest.layers)}
    return reached


def _remove_blob(path: Path, digest: str, report: GcReport, dry_run: bool) -> None:
    file_descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.in_use.append(digest)
            return
        report.freed_bytes += os.fstat(file_descriptor).st_size
        report.blobs += 1
        if not dry_run:
            path.unlink()
    finally:
        os.close(file_descriptor)


def _remove_leftovers(folder: StoreFolder, report: GcReport, dry_run: bool) -> None:
    with dead_staging_folders(folder.staging, STAGING_PREFIX) as dead:
        for path in [*dead, *folder.index_leftovers()]:
            report.leftovers += 1
            report.freed_bytes += tree_bytes(path)
            if not dry_run and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not dry_run:
                with contextlib.suppress(OSError):
                    path.unlink()
