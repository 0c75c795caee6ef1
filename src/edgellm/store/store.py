"""The store: every bundle of one user, in one OCI image layout, with the machine's own store below it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.names import BundleName, Reference, parse_reference
from edgellm.bundle.opened import OpenBundle
from edgellm.bundle.reading import read_bundle
from edgellm.errors import AccessError, EdgeLLMError, NotFoundError, UsageError
from edgellm.progress import CancelToken, Progress
from edgellm.store.folder import StoreFolder
from edgellm.store.listing import StoredBundle, list_bundles
from edgellm.store.lock import store_lock
from edgellm.store.resolve import resolve_entry
from edgellm.store.smoke import SmokeResults
from edgellm.store.tags import TagEntry, named_entries, point_tag, rename_tag

if TYPE_CHECKING:
    from edgellm.bundle.verify import VerifyReport
    from edgellm.store.gc import GcReport
    from edgellm.store.writer import StoreWriter

__all__ = ["Store"]


class Store:
    """Bundles by name, with their blobs shared. Any number of processes may use one store at once.

    Reading takes no lock and works on a read-only disk. A missing folder is an empty store; the first writer makes it.
    Below the user's store may lie the machine's (``system_root``): it is read and never written, and a name of the
    user's hides the same name there. What an import or a pack brings and the machine's store has is not written again.
    """

    def __init__(self, root: Path, state: Path, system_root: Path | None = None) -> None:
        self.root = root
        self._system = _system_folder(root, system_root)
        self._folder = StoreFolder(root, self._system)
        self._smoke = SmokeResults(state)

    @property
    def downloads(self) -> Path:
        """The folder for files on their way into the store; whoever downloads makes it."""
        return self._folder.downloads

    @property
    def system_root(self) -> Path | None:
        """The machine's store, None without one."""
        return self._system.root if self._system is not None else None

    def writer(self) -> StoreWriter:
        """A writer for new bundles; use it as a context manager. Also removes what killed writers left."""
        from edgellm.store.writer import StoreWriter

        return StoreWriter(self._folder)

    def list(self) -> list[StoredBundle]:
        """All bundles by name. A damaged one is listed with its ``problem``. Raises BundleError for a lost index."""
        while True:
            entries = self._tags()
            rows = list_bundles(self._folder.layout, [entry for entry in entries if not entry.system])
            if self._system is not None:
                rows += list_bundles(self._system.layout, [entry for entry in entries if entry.system])
            if all(row.problem is None for row in rows) or self._tags() == entries:
                # else a bundle was removed while we read it: that is no damage
                return sorted(rows, key=lambda row: (row.name, row.tag))

    def version(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What is another value whenever a name of either store may mean something else. Costs a `stat` of each."""
        return tuple(folder.index_version() for folder in self._folders())

    def model_digests(self) -> frozenset[str]:
        """The digests of the model files that some bundle needs: former bundles and the machine's are among them.

        What a damaged bundle needs is not known.
        """
        digests = set()
        for entry in self._all_tags():
            with contextlib.suppress(EdgeLLMError):
                digests.add(read_bundle(self._folder_of(entry).layout, entry.descriptor).model_file.digest)
        return frozenset(digests)

    def blob_file(self, digest: str) -> Path | None:
        """Where the blob of a checked digest lies, in the user's store or the machine's; None without one."""
        path = self._folder.layout.blob_path(digest)
        return path if path.is_file() else None

    def find(self, reference: str | Reference, device_id: str | None = None) -> TagEntry:
        """The entry that a reference means, without opening it. Raises UsageError, NotFoundError."""
        parsed = parse_reference(reference) if isinstance(reference, str) else reference
        # A digest is no name: what the user's store hides is found by it.
        entries = self._tags() if parsed.digest is None else self._all_tags()
        return resolve_entry(entries, parsed, device_id, self._device_of)

    def resolve(self, reference: str | Reference, device_id: str | None = None) -> OpenBundle:
        """Open the bundle that ``NAME[:TAG][@previous|@sha256:...]`` means.

        Without a tag: the only one, else the only one made for ``device_id``. Raises UsageError (exit 2) listing the
        tags, NotFoundError (exit 3) with near names, BundleError (exit 5), UnsupportedError.
        """
        while True:
            entry = self.find(reference, device_id)
            layout = self._folder_of(entry).layout
            try:
                bundle = read_bundle(layout, entry.descriptor)
            except EdgeLLMError:
                if self._is_listed(entry):
                    raise
                continue  # it was removed or moved between the two reads: ask again
            return OpenBundle(str(entry), bundle, layout)

    def show(self, reference: str | Reference, device_id: str | None = None) -> StoredBundle:
        """The row of `list` for one name; with ``@previous`` or a digest, of the name that it belongs to."""
        entry = self.find(reference, device_id)
        for stored in self.list():
            if BundleName(stored.name, stored.tag) == entry.name:
                return stored
        raise NotFoundError(f"{entry} was removed meanwhile")

    def remove(self, reference: str | Reference) -> tuple[TagEntry, ...]:
        """Take a name out of the user's index, its former bundle with it; ``NAME@previous`` takes out only that.

        The space comes back with ``gc``; a full disk is no obstacle. Returns what was removed. Raises UsageError,
        NotFoundError, and AccessError for a bundle of the machine's store.
        """
        self.require_own(self.find(reference))
        removed: list[TagEntry] = []

        def without(entries: list[Descriptor]) -> list[Descriptor]:
            parsed = parse_reference(reference) if isinstance(reference, str) else reference
            tags = named_entries(entries)
            found = resolve_entry(tags, parsed, None, self._device_of)
            removed.extend(tag for tag in tags if tag.name == found.name and (tag.previous or not found.previous))
            gone = {id(tag.descriptor) for tag in removed}
            return [entry for entry in entries if id(entry) not in gone]

        with store_lock(self.root):
            self._folder.replace_entries(without, use_reserve=True)
        return tuple(removed)

    def require_own(self, entry: TagEntry) -> None:
        """Raise AccessError for an entry of the machine's store: no command of the user's changes that."""
        if entry.system:
            raise AccessError(
                f"{entry} is in the machine's store {self.system_root}, which is not changed from here",
                hint=f"whoever looks after it removes it: sudo env EDGELLM_STORE={self.system_root} edgellm rm {entry}",
            )

    def copy(
        self,
        reference: str | Reference,
        name: BundleName,
        device_id: str | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> str:
        """Let ``name`` point at the bundle of ``reference`` as well; returns its digest.

        No blob is copied, except from the machine's store into the user's. ``copy("a@previous", a)`` goes back to the
        former bundle. Raises UsageError, NotFoundError, BundleError, NoSpaceError, Interrupted.
        """
        self.resolve(reference, device_id)  # a damaged bundle gets no second name
        entry = self.find(reference, device_id)
        if entry.system:
            from edgellm.store.intake import import_layout
            from edgellm.store.writer import StoreWriter

            with StoreWriter(StoreFolder(self.root)) as writer:  # which borrows nothing
                layout = self._folder_of(entry).layout
                import_layout(writer, layout, [(entry.descriptor, name)], progress=progress, cancel=cancel)
            return entry.digest
        found: list[TagEntry] = []

        def pointed(entries: list[Descriptor]) -> list[Descriptor]:
            parsed = parse_reference(reference) if isinstance(reference, str) else reference
            source = resolve_entry(named_entries(entries), parsed, device_id, self._device_of)
            if source.name == name and not source.previous:
                raise UsageError(f"{source} would be copied onto itself", hint="give another name or tag")
            found.append(source)
            return point_tag(entries, name, source.digest, source.descriptor.size)

        with store_lock(self.root):
            self._folder.replace_entries(pointed)
        return found[0].digest

    def rename(self, reference: str | Reference, name: BundleName, device_id: str | None = None) -> str:
        """Call the bundle ``name`` instead, its former version too, in one step; returns its digest.

        Raises UsageError where ``name`` is taken, NotFoundError, and AccessError for a bundle of the machine's store.
        """
        self.require_own(self.find(reference, device_id))
        found: list[TagEntry] = []

        def renamed(entries: list[Descriptor]) -> list[Descriptor]:
            parsed = parse_reference(reference) if isinstance(reference, str) else reference
            tags = named_entries(entries)
            source = resolve_entry(tags, parsed, device_id, self._device_of)
            if source.previous:
                raise UsageError(f"{source} has no name of its own", hint=f"copy it: edgellm cp {source} NAME")
            if any(tag.name == name for tag in tags):
                raise UsageError(f"{name} is there already", hint="remove it first, or give another name")
            found.append(source)
            return rename_tag(entries, source.name, name)

        with store_lock(self.root):
            self._folder.replace_entries(renamed)
        return found[0].digest

    def verify(
        self,
        reference: str | Reference | None = None,
        device_id: str | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> VerifyReport:
        """Read every byte of one bundle, or of everything in both stores, their indexes included.

        Damage is in the report (``report.error()`` makes the exit 5 of it). Raises NotFoundError, Interrupted.
        """
        from edgellm.bundle.verify import VerifyReport, verify_layout

        if reference is not None:
            entry = self.find(reference, device_id)
            layout = self._folder_of(entry).layout
            return verify_layout(layout, [entry.descriptor], is_store=True, progress=progress, cancel=cancel)
        report = VerifyReport()
        for folder in self._folders():
            if folder.exists:
                report.add(verify_layout(folder.layout, is_store=True, progress=progress, cancel=cancel))
        return report

    def gc(self, *, dry_run: bool = False) -> GcReport:
        """Remove blobs that no bundle uses and what killed processes left. Raises BundleError for a lost index."""
        from edgellm.store.gc import collect_garbage

        report = collect_garbage(self._folder, dry_run=dry_run)
        if not dry_run:
            self._smoke.keep_only({entry.digest for entry in self._all_tags()})
        return report

    def save_smoke(self, digest: str, result: Mapping[str, Any]) -> None:
        """Keep the result of a smoke test on this machine for the bundle ``digest``."""
        self._smoke.save(digest, result)

    def load_smoke(self, digest: str) -> dict[str, Any] | None:
        """The kept smoke result of a bundle, None without one."""
        return self._smoke.load(digest)

    def _folders(self) -> Sequence[StoreFolder]:
        return (self._folder,) if self._system is None else (self._folder, self._system)

    def _folder_of(self, entry: TagEntry) -> StoreFolder:
        return self._system if entry.system and self._system is not None else self._folder

    def _all_tags(self) -> Sequence[TagEntry]:
        """The entries of both stores, the user's first."""
        tags = named_entries(self._folder.entries())
        return tags + (named_entries(self._system.entries(), system=True) if self._system is not None else [])

    def _tags(self) -> Sequence[TagEntry]:
        """The entries that names lead to: the user's, and those of the machine that no name of the user's hides."""
        tags = self._all_tags()
        own = {entry.name for entry in tags if not entry.system}
        return [entry for entry in tags if not entry.system or entry.name not in own]

    def _is_listed(self, entry: TagEntry) -> bool:
        return any(
            other.name == entry.name and other.digest == entry.digest and other.system == entry.system
            for other in self._all_tags()
        )

    def _device_of(self, entry: TagEntry) -> str | None:
        try:
            return read_bundle(self._folder_of(entry).layout, entry.descriptor).plan.target.id
        except EdgeLLMError:
            return None


def _system_folder(root: Path, system_root: Path | None) -> StoreFolder | None:
    """The machine's store when there is one that this user may read, and it is not the user's own."""
    if system_root is None or not os.access(system_root, os.R_OK | os.X_OK) or not system_root.is_dir():
        return None
    if root.exists() and root.samefile(system_root):
        return None
    return StoreFolder(system_root)
