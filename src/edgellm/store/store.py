"""The store: every bundle of one user, in one OCI image layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.names import BundleName, Reference, parse_reference
from edgellm.bundle.opened import OpenBundle
from edgellm.bundle.reading import read_bundle
from edgellm.bundle.verify import VerifyReport, verify_layout
from edgellm.errors import EdgeLLMError, NotFoundError, UsageError
from edgellm.progress import CancelToken, Progress
from edgellm.store.folder import StoreFolder
from edgellm.store.gc import GcReport, collect_garbage
from edgellm.store.listing import StoredBundle, list_bundles
from edgellm.store.lock import store_lock
from edgellm.store.resolve import resolve_entry
from edgellm.store.smoke import SmokeResults
from edgellm.store.tags import TagEntry, named_entries, point_tag
from edgellm.store.writer import StoreWriter

__all__ = ["Store"]


class Store:
    """Bundles by name, with their blobs shared. Any number of processes may use one store at once.

    Reading takes no lock and works on a read-only disk. A missing folder is an empty store; the first writer makes it.
    """

    def __init__(self, root: Path, state: Path) -> None:
        self.root = root
        self._folder = StoreFolder(root)
        self._smoke = SmokeResults(state)

    def writer(self) -> StoreWriter:
        """A writer for new bundles; use it as a context manager. Also removes what killed writers left."""
        return StoreWriter(self._folder)

    def list(self) -> list[StoredBundle]:
        """All bundles by name. A damaged one is listed with its ``problem``. Raises BundleError for a lost index."""
        while True:
            entries = self._tags()
            rows = list_bundles(self._folder.layout, entries)
            if all(row.problem is None for row in rows) or self._tags() == entries:
                return rows  # else a bundle was removed while we read it: that is no damage

    def find(self, reference: str | Reference, device_id: str | None = None) -> TagEntry:
        """The entry that a reference means, without opening it. Raises UsageError, NotFoundError."""
        parsed = parse_reference(reference) if isinstance(reference, str) else reference
        return resolve_entry(self._tags(), parsed, device_id, self._device_of)

    def resolve(self, reference: str | Reference, device_id: str | None = None) -> OpenBundle:
        """Open the bundle that ``NAME[:TAG][@previous|@sha256:...]`` means.

        Without a tag: the only one, else the only one made for ``device_id``. Raises UsageError (exit 2) listing the
        tags, NotFoundError (exit 3) with near names, BundleError (exit 5), UnsupportedError.
        """
        while True:
            entry = self.find(reference, device_id)
            try:
                bundle = read_bundle(self._folder.layout, entry.descriptor)
            except EdgeLLMError:
                if self._is_listed(entry):
                    raise
                continue  # it was removed or moved between the two reads: ask again
            return OpenBundle(str(entry), bundle, self._folder.layout)

    def show(self, reference: str | Reference, device_id: str | None = None) -> StoredBundle:
        """The row of `list` for one name; with ``@previous`` or a digest, of the name that it belongs to."""
        entry = self.find(reference, device_id)
        for stored in self.list():
            if BundleName(stored.name, stored.tag) == entry.name:
                return stored
        raise NotFoundError(f"{entry} was removed meanwhile")

    def remove(self, reference: str | Reference) -> tuple[TagEntry, ...]:
        """Take a name out of the index, its former bundle with it; ``NAME@previous`` takes out only that.

        The space comes back with ``gc``. Returns what was removed. Raises UsageError, NotFoundError.
        """
        if not self._folder.exists:
            self.find(reference)
        removed: list[TagEntry] = []

        def without(entries: list[Descriptor]) -> list[Descriptor]:
            parsed = parse_reference(reference) if isinstance(reference, str) else reference
            tags = named_entries(entries)
            found = resolve_entry(tags, parsed, None, self._device_of)
            removed.extend(tag for tag in tags if tag.name == found.name and (tag.previous or not found.previous))
            gone = {id(tag.descriptor) for tag in removed}
            return [entry for entry in entries if id(entry) not in gone]

        with store_lock(self.root):
            self._folder.replace_entries(without)
        return tuple(removed)

    def copy(self, reference: str | Reference, name: BundleName, device_id: str | None = None) -> str:
        """Let ``name`` point at the bundle of ``reference`` as well; no blob is copied. Returns its digest.

        ``copy("a@previous", a)`` goes back to the former bundle. Raises UsageError, NotFoundError, BundleError.
        """
        self.resolve(reference, device_id)  # a damaged bundle gets no second name
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

    def verify(
        self,
        reference: str | Reference | None = None,
        device_id: str | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> VerifyReport:
        """Read every byte of one bundle, or of everything in the store, the index included.

        Damage is in the report (``report.error()`` makes the exit 5 of it). Raises NotFoundError, Interrupted.
        """
        entries = None if reference is None else [self.find(reference, device_id).descriptor]
        if not self._folder.exists:
            return VerifyReport()
        return verify_layout(self._folder.layout, entries, is_store=True, progress=progress, cancel=cancel)

    def gc(self, *, dry_run: bool = False) -> GcReport:
        """Remove blobs that no bundle uses and what killed processes left. Raises BundleError for a lost index."""
        report = collect_garbage(self._folder, dry_run=dry_run)
        if not dry_run:
            self._smoke.keep_only({entry.digest for entry in self._tags()})
        return report

    def save_smoke(self, digest: str, result: Mapping[str, Any]) -> None:
        """Keep the result of a smoke test on this machine for the bundle ``digest``."""
        self._smoke.save(digest, result)

    def load_smoke(self, digest: str) -> dict[str, Any] | None:
        """The kept smoke result of a bundle, None without one."""
        return self._smoke.load(digest)

    def _tags(self) -> Sequence[TagEntry]:
        return named_entries(self._folder.entries())

    def _is_listed(self, entry: TagEntry) -> bool:
        return any(other.name == entry.name and other.digest == entry.digest for other in self._tags())

    def _device_of(self, entry: TagEntry) -> str | None:
        try:
            return read_bundle(self._folder.layout, entry.descriptor).plan.target.id
        except EdgeLLMError:
            return None
