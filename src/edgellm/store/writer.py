"""Packing into the store.

Blobs grow in a private staging folder and are moved among the store's blobs only at the commit, under the store's lock,
directly before the index that names them is written. So whoever holds the lock sees no blob that a running writer still
needs, except those of a bundle it committed before; of these the writer keeps shared locks until it ends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edgellm.bundle.digest import digest_hex, sha256_stream
from edgellm.bundle.folder_layout import open_plain
from edgellm.bundle.folder_writer import FolderWriter
from edgellm.bundle.layout import read_blob
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.names import BundleName
from edgellm.bundle.opened import hold_blob
from edgellm.bundle.staging import StagingFolder, remove_dead_staging
from edgellm.bundle.writer import BLOB_TYPE, FinishedBundle
from edgellm.errors import EdgeLLMError, Interrupted
from edgellm.files import fsync_directory, os_errors
from edgellm.progress import CancelToken, Progress
from edgellm.store.folder import STAGING_PREFIX, StoreFolder
from edgellm.store.lock import store_lock
from edgellm.store.tags import named_entries, point_tag

__all__ = ["StoreWriter"]


class StoreWriter(FolderWriter):
    """Writes into one store. It may commit several bundles, which then share the blobs that they have in common."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder
        self._leases: dict[str, int] = {}
        folder.create()
        folder.entries()  # a store that is newer or damaged refuses before the work, not after it
        remove_dead_staging(folder.staging, STAGING_PREFIX)
        super().__init__(
            StagingFolder(folder.staging, STAGING_PREFIX),
            f"the store {folder.root}",
            folder.root,
            "let EDGELLM_STORE name a folder on another disk",
        )

    def close(self) -> None:
        """See BundleWriter."""
        super().close()
        while self._leases:
            os.close(self._leases.popitem()[1])

    def publish(self, bundles: Sequence[FinishedBundle]) -> None:
        """See BundleWriter."""
        added: list[Path] = []

        def pointed(entries: list[Descriptor]) -> list[Descriptor]:
            for bundle in bundles:
                entries = point_tag(entries, bundle.name, bundle.manifest.digest, bundle.manifest.size)
            return entries

        with store_lock(self._folder.root):
            try:
                for bundle in bundles:
                    self._own_manifest(bundle.manifest)
                for digest in dict.fromkeys(blob.digest for bundle in bundles for blob in bundle.blobs):
                    self._move_in(digest, added)
                with os_errors(f"write {self._destination}"):
                    fsync_directory(self._folder.layout.blobs)
                self._folder.replace_entries(pointed)
            except BaseException:
                self._take_back(added, {bundle.manifest.digest for bundle in bundles})
                raise

    def current_digest(self, name: BundleName) -> str | None:
        """The manifest that ``name`` points at now, None when nothing is called so."""
        entries = named_entries(self._folder.entries())
        return next((entry.digest for entry in entries if entry.name == name and not entry.previous), None)

    def is_machines(self, name: BundleName, manifest: str, blobs: Iterable[str]) -> bool:
        """True when ``name`` leads to ``manifest`` in the machine's store and this writer wrote none of ``blobs``."""
        if self._folder.machine is None or self.current_digest(name) is not None:
            return False
        if any((self._blobs / digest_hex(digest)).exists() for digest in blobs):
            return False  # what was damaged there
        entries = named_entries(self._folder.machine.entries())
        return any((entry.name, entry.digest, entry.previous) == (name, manifest, False) for entry in entries)

    def has_file(self, digest: str) -> bool:
        """True when a file with this name is among the blobs of the store, whatever it holds, or of the machine's."""
        return self._folder.layout.blob_path(digest).is_file()

    def blob_file(self, digest: str) -> Path:
        """Where a blob lies that was written by this writer or found healthy."""
        staged = self._blobs / digest_hex(digest)
        return staged if staged.exists() else self._folder.layout.blob_path(digest)

    def take_file(self, path: Path, digest: str) -> Descriptor:
        """See BundleWriter; a blob of the machine's store stays where it lies."""
        layout = self._folder.layout
        if not layout.is_lent(digest) or path.resolve() != layout.blob_path(digest).resolve():
            return super().take_file(path, digest)
        if digest not in self._leases:
            self._leases[digest] = hold_blob(path, digest)
        return Descriptor(media_type=BLOB_TYPE, digest=digest, size=os.fstat(self._leases[digest]).st_size)

    @contextlib.contextmanager
    def readable(self, blob: Descriptor) -> Iterator[Path]:
        """See BundleWriter; also of a blob that was found healthy."""
        if blob.digest in self._leases:
            yield self.blob_file(blob.digest)
            return
        with super().readable(blob) as path:
            yield path

    def find_healthy(
        self, digest: str, size_bytes: int, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> bool:
        """True when the store or the machine's has this blob, every byte right; gc leaves it alone until ``close``.

        A commit may then refer to it as if this writer had written it. ``progress`` counts the bytes that were read.
        """
        if digest in self._leases or (self._blobs / digest_hex(digest)).exists():
            return True
        path = self._folder.layout.blob_path(digest)
        try:
            lease = hold_blob(path, digest)
        except EdgeLLMError:
            return False
        healthy = False
        try:
            with open_plain(path) as file, os_errors(f"read {path}"):
                found = os.fstat(file.fileno())
                same = os.path.samestat(found, os.fstat(lease)) and found.st_size == size_bytes
                healthy = same and sha256_stream(file, size_bytes, progress=progress, cancel=cancel)[0] == digest
        except Interrupted:
            raise
        except EdgeLLMError:
            healthy = False  # it cannot be read: as good as missing
        finally:
            if healthy:
                self._leases[digest] = lease
            else:
                os.close(lease)
        return healthy

    def _own_manifest(self, manifest: Descriptor) -> None:
        """A manifest of the machine's store is copied: gc has to read it, whatever becomes of that store."""
        layout = self._folder.layout
        if layout.is_lent(manifest.digest) and not (self._blobs / digest_hex(manifest.digest)).exists():
            self.add_bytes(read_blob(layout, manifest.digest, manifest.size, f"the manifest {manifest.digest}"))

    def _move_in(self, digest: str, added: list[Path]) -> None:
        """Move a staged blob in. An equal one that is there is replaced, which also heals a damaged one."""
        staged = self._blobs / digest_hex(digest)
        target = self._folder.layout.own_path(digest)
        if staged.exists():
            with os_errors(f"write {self._destination}"):
                if not target.exists():
                    added.append(target)
                staged.replace(target)
        elif not target.exists():
            if digest in self._leases:
                return  # it stays in the machine's store
            raise EdgeLLMError(f"the blob {digest} was not written by this writer")
        lease = hold_blob(target, digest)
        if digest in self._leases:
            os.close(self._leases[digest])
        self._leases[digest] = lease

    def _take_back(self, added: list[Path], manifests: set[str]) -> None:
        """After a failed commit: remove the blobs that it brought, unless the index names a bundle all the same."""
        with contextlib.suppress(EdgeLLMError, OSError):
            if any(entry.digest in manifests for entry in self._folder.entries()):
                return
            for path in added:
                path.unlink(missing_ok=True)
