"""The entries of a store's index: which name points at which manifest, and at which one before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.media import (
    ANNOTATION_NAME,
    ANNOTATION_REF_NAME,
    ANNOTATION_SLOT,
    ANNOTATION_TAG,
    MANIFEST_TYPE,
    MODEL_ARTIFACT_TYPE,
)
from edgellm.bundle.names import BundleName

__all__ = ["TagEntry", "named_entries", "point_tag", "rename_tag"]

PREVIOUS = "previous"


@dataclass(frozen=True)
class TagEntry:
    """One named entry of the index. ``previous`` marks what the name pointed at before."""

    name: BundleName
    previous: bool
    descriptor: Descriptor
    system: bool = False  # it lies in the machine's store, not in the user's

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return self.descriptor.digest

    def __str__(self) -> str:
        return f"{self.name}@{PREVIOUS}" if self.previous else str(self.name)


def named_entries(entries: Iterable[Descriptor], *, system: bool = False) -> list[TagEntry]:
    """The entries that carry a name of ours, in the order of their names. Others are left alone."""
    found = []
    for entry in entries:
        name, tag = entry.annotations.get(ANNOTATION_NAME), entry.annotations.get(ANNOTATION_TAG)
        if name and tag:
            previous = entry.annotations.get(ANNOTATION_SLOT) == PREVIOUS
            found.append(TagEntry(BundleName(name, tag), previous, entry, system))
    return sorted(found, key=lambda found_entry: (found_entry.name, found_entry.previous))


def point_tag(entries: list[Descriptor], name: BundleName, digest: str, size_bytes: int) -> list[Descriptor]:
    """The index after ``name`` points at the manifest ``digest``; what it pointed at becomes ``name@previous``.

    Pointing a name at what it points at already changes nothing.
    """
    ours = {entry.previous: entry for entry in named_entries(entries) if entry.name == name}
    current = ours.get(False)
    if current is not None and current.digest == digest:
        return entries
    gone = {id(entry.descriptor) for entry in ours.values()}
    kept = [entry for entry in entries if id(entry) not in gone]
    moved = [_entry(name, digest, size_bytes, previous=False)]
    if current is not None:
        moved.append(_entry(name, current.digest, current.descriptor.size, previous=True))
    elif True in ours:
        moved.append(ours[True].descriptor)
    return [*kept, *moved]


def rename_tag(entries: list[Descriptor], old: BundleName, new: BundleName) -> list[Descriptor]:
    """The index after what ``old`` points at, and pointed at before, is called ``new``."""
    moved = {id(tag.descriptor): tag for tag in named_entries(entries) if tag.name == old}
    return [
        _entry(new, entry.digest, entry.size, previous=moved[id(entry)].previous) if id(entry) in moved else entry
        for entry in entries
    ]


def _entry(name: BundleName, digest: str, size_bytes: int, *, previous: bool) -> Descriptor:
    annotations = {
        ANNOTATION_REF_NAME: f"{name}@{PREVIOUS}" if previous else str(name),
        ANNOTATION_NAME: name.name,
        ANNOTATION_TAG: name.tag,
    }
    if previous:
        annotations[ANNOTATION_SLOT] = PREVIOUS
    return Descriptor(
        media_type=MANIFEST_TYPE,
        digest=digest,
        size=size_bytes,
        annotations=annotations,
        artifact_type=MODEL_ARTIFACT_TYPE,
    )
