"""The folder of a store: creating it, reading its index, replacing its index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgellm.bundle.canonical import JSON_LIMIT_BYTES
from edgellm.bundle.folder_layout import FolderLayout
from edgellm.bundle.index import LAYOUT_FILE, OCI_LAYOUT, decode_index, encode_index, index_damage
from edgellm.bundle.layout import read_index
from edgellm.bundle.manifest import Descriptor
from edgellm.errors import BundleError, NoSpaceError
from edgellm.files import os_errors, write_atomic
from edgellm.store.lock import store_lock
from edgellm.store.reserve import RESERVE_FILE, give_up_reserve, keep_reserve

__all__ = ["DOWNLOADS_FOLDER", "INDEX_FILE", "STAGING_FOLDER", "STAGING_PREFIX", "StoreFolder"]

INDEX_FILE = "index.json"
STAGING_FOLDER = ".staging"  # private folders of running writers
DOWNLOADS_FOLDER = ".downloads"  # files on their way from a hub; on the disk of the blobs, to be renamed among them
STAGING_PREFIX = "writer-"


class StoreFolder:
    """An OCI image layout with a lock file and a staging folder beside its blobs.

    Bundles of it may use blobs of ``machine``, the machine's store: what lies there is not written again.
    """

    def __init__(self, root: Path, machine: StoreFolder | None = None) -> None:
        self.root = root
        self.machine = machine
        self.staging = root / STAGING_FOLDER
        self.downloads = root / DOWNLOADS_FOLDER

    @property
    def exists(self) -> bool:
        """False until a writer has made the store: an absent store is an empty one.

        Raises BundleError when blobs are there and the index is not: that is a loss, not an empty store.
        """
        missing = [name for name in (LAYOUT_FILE, INDEX_FILE) if not (self.root / name).exists()]
        if missing and self.layout.blob_digests():
            raise BundleError(
                f"the store {self.root} has blobs but no {missing[0]}",
                hint="bring the file back from a backup, or move the folder away and pack again",
            )
        return not missing

    @property
    def layout(self) -> FolderLayout:
        """The store as a layout, for reading."""
        return FolderLayout(self.root, self.machine.layout if self.machine is not None else None)

    def index_version(self) -> tuple[int, int, int] | None:
        """What the file of the index is: another one after every change. None without one."""
        try:
            status = (self.root / INDEX_FILE).stat()
        except OSError:  # whoever reads it says why
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def entries(self) -> list[Descriptor]:
        """The entries of the index as they are now. Raises BundleError, UnsupportedError for a newer store."""
        return read_index(self.layout).manifests if self.exists else []

    def create(self) -> None:
        """Make the folders and an empty index where there are none."""
        with os_errors(f"create the store {self.root}"):
            self.staging.mkdir(parents=True, exist_ok=True)
            (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        if self.exists and (self.root / RESERVE_FILE).exists():
            return
        with store_lock(self.root), os_errors(f"create the store {self.root}"):
            if not (self.root / INDEX_FILE).exists():
                write_atomic(self.root / INDEX_FILE, encode_index([]))
            if not (self.root / LAYOUT_FILE).exists():
                write_atomic(self.root / LAYOUT_FILE, OCI_LAYOUT)
            self.keep_reserve()

    def keep_reserve(self) -> None:
        """Make the reserve again where it was given up or is too small by now; the caller holds the lock."""
        with os_errors(f"read {self.root / INDEX_FILE}"):
            keep_reserve(self.root, (self.root / INDEX_FILE).stat().st_size)

    def index_leftovers(self) -> list[Path]:
        """Temporary files of killed processes: only the holder of the lock writes them, so to him none has an owner."""
        return [*self.root.glob(f".{INDEX_FILE}.*.tmp"), *self.root.glob(f".{LAYOUT_FILE}.*.tmp")]

    def replace_entries(
        self, change: Callable[[list[Descriptor]], list[Descriptor]], *, use_reserve: bool = False
    ) -> None:
        """Replace the index in one step; the caller holds the lock. ``use_reserve``: also on a disk that is full.

        A damaged index is not written over: its checksum would be made to fit the damage.
        """
        data = self.layout.read_file(INDEX_FILE, JSON_LIMIT_BYTES)
        index = decode_index(data, str(self.root / INDEX_FILE))
        damage = index_damage(data, index) if index.annotations else None
        if damage:
            raise BundleError(
                f"{self.root / INDEX_FILE} is damaged or was edited: {damage}",
                hint="look at it; to accept it as it is, delete its `annotations`, and the next change writes new ones",
            )
        for leftover in self.index_leftovers():
            leftover.unlink(missing_ok=True)
        entries = change(list(index.manifests))
        if entries == index.manifests and index.annotations:
            return
        try:
            self._write_index(entries)
        except NoSpaceError:
            with os_errors(f"write {self.root / INDEX_FILE}"):
                if not (use_reserve and give_up_reserve(self.root)):
                    raise
            self._write_index(entries)
        self.keep_reserve()

    def _write_index(self, entries: list[Descriptor]) -> None:
        with os_errors(f"write {self.root / INDEX_FILE}"):
            write_atomic(self.root / INDEX_FILE, encode_index(entries))
