"""Packing into the store.

Blobs grow in a private staging folder and are moved among the store's blobs only at the commit, under the store's lock,
directly before the index that names them is written. So whoever holds the lock sees no blob that a running writer still
needs, except those of a bundle it committed before; of these the writer keeps shared locks until it ends.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgellm.bundle.digest import digest_hex
from edgellm.bundle.folder_writer import FolderWriter
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.names import BundleName
from edgellm.bundle.opened import hold_blob
from edgellm.bundle.staging import StagingFolder, remove_dead_staging
from edgellm.errors import EdgeLLMError
from edgellm.files import fsync_directory, os_errors
from edgellm.store.folder import STAGING_PREFIX, StoreFolder
from edgellm.store.lock import store_lock
from edgellm.store.tags import point_tag

__all__ = ["StoreWriter"]


class StoreWriter(FolderWriter):
    """Writes into one store. It may commit several bundles, which then share the blobs that they have in common."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder
        self._leases: dict[str, int] = {}
        folder.create()
        folder.entries()  # a store that is newer or damaged refuses before the work, not after it
        remove_dead_staging(folder.staging, STAGING_PREFIX)
        super().__init__(StagingFolder(folder.staging, STAGING_PREFIX), f"the store {folder.root}")

    def close(self) -> None:
        """See BundleWriter."""
        super().close()
        while self._leases:
            os.close(self._leases.popitem()[1])

    def _publish(self, manifest: Descriptor, blobs: list[Descriptor], name: BundleName) -> None:
        added: list[Path] = []
        with store_lock(self._folder.root):
            try:
                for digest in dict.fromkeys(blob.digest for blob in blobs):
                    self._move_in(digest, added)
                with os_errors(f"write {self._destination}"):
                    fsync_directory(self._folder.layout.blobs)
                self._folder.replace_entries(lambda entries: point_tag(entries, name, manifest.digest, manifest.size))
            except BaseException:
                self._take_back(added, manifest.digest)
                raise

    def _move_in(self, digest: str, added: list[Path]) -> None:
        """Move a staged blob in. An equal one that is there is replaced, which also heals a damaged one."""
        staged = self._blobs / digest_hex(digest)
        target = self._folder.layout.blob_path(digest)
        if staged.exists():
            with os_errors(f"write {self._destination}"):
                if not target.exists():
                    added.append(target)
                staged.replace(target)
        elif not target.exists():
            raise EdgeLLMError(f"the blob {digest} was not written by this writer")
        lease = hold_blob(target, digest)
        if digest in self._leases:
            os.close(self._leases[digest])
        self._leases[digest] = lease

    def _take_back(self, added: list[Path], manifest_digest: str) -> None:
        """After a failed commit: remove the blobs that it brought, unless the index names the bundle all the same."""
        with contextlib.suppress(EdgeLLMError, OSError):
            if any(entry.digest == manifest_digest for entry in self._folder.entries()):
                return
            for path in added:
                path.unlink(missing_ok=True)
