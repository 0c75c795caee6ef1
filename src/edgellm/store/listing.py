"""What `list` shows: names, sizes, and how much of a size is shared with other bundles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgellm.bundle.folder_layout import FolderLayout
from edgellm.bundle.plan import Plan
from edgellm.bundle.reading import Bundle, read_bundle
from edgellm.errors import EdgeLLMError
from edgellm.store.tags import TagEntry

__all__ = ["StoredBundle", "list_bundles"]


@dataclass(frozen=True)
class StoredBundle:
    """One name of the store. A bundle that cannot be read is listed too, with its ``problem`` and without a plan."""

    name: str
    tag: str
    digest: str
    previous_digest: str | None  # what the name pointed at before
    size_bytes: int  # all blobs, each counted once; 0 when it cannot be read
    shared_bytes: int  # what removing this one does not return: other names use it too, or the machine's store lends it
    bundle: Bundle | None
    problem: str | None
    system: bool = False  # it lies in the machine's store, not in the user's
    lent: frozenset[str] = frozenset()  # digests of its blobs that lie in the machine's store alone

    @property
    def plan(self) -> Plan | None:
        """The plan, None when the bundle cannot be read."""
        return self.bundle.plan if self.bundle else None

    @property
    def full_name(self) -> str:
        """``name:tag``."""
        return f"{self.name}:{self.tag}"


def list_bundles(layout: FolderLayout, entries: Sequence[TagEntry]) -> list[StoredBundle]:
    """All names in their order. Weights are not read; their sizes are compared."""
    read = {id(entry): _read(layout, entry) for entry in entries}
    users: Counter[str] = Counter()
    for name in {entry.name for entry in entries}:
        users.update(set().union(*(_blobs(read[id(entry)]) for entry in entries if entry.name == name)))
    previous = {entry.name: entry.digest for entry in entries if entry.previous}
    listed = []
    for entry in entries:
        if entry.previous:
            continue
        bundle, problem = read[id(entry)]
        blobs = bundle.blobs if bundle else {}
        lent = frozenset(filter(layout.is_lent, blobs))
        listed.append(
            StoredBundle(
                name=entry.name.name,
                tag=entry.name.tag,
                digest=entry.digest,
                previous_digest=previous.get(entry.name),
                size_bytes=sum(blobs.values()),
                shared_bytes=sum(size for digest, size in blobs.items() if users[digest] > 1 or digest in lent),
                bundle=bundle,
                problem=problem,
                system=entry.system,
                lent=lent,
            )
        )
    return listed


def _read(layout: FolderLayout, entry: TagEntry) -> tuple[Bundle | None, str | None]:
    try:
        return read_bundle(layout, entry.descriptor), None
    except EdgeLLMError as error:
        return None, error.message


def _blobs(read: tuple[Bundle | None, str | None]) -> dict[str, int]:
    return read[0].blobs if read[0] else {}
