"""Importing bundles: from a folder or an archive only what the store lacks is read, and all appears in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgellm.bundle.contained import bundle_name, read_bundles
from edgellm.bundle.copying import copy_blob
from edgellm.bundle.layout import Layout
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.names import BundleName, parse_name
from edgellm.bundle.reading import Bundle, read_bundle
from edgellm.bundle.writer import FinishedBundle
from edgellm.errors import UsageError
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm.store.writer import StoreWriter

__all__ = ["ImportReport", "ImportedBundle", "chosen_names", "import_layout", "publish_bundles"]


@dataclass(frozen=True)
class ImportedBundle:
    """One bundle that is in the store now. ``former`` is what its name pointed at before, if it was something else."""

    name: BundleName
    bundle: Bundle
    former: str | None
    system: bool = False  # the machine's store has it under this name: nothing was added to the user's


@dataclass(frozen=True)
class ImportReport:
    """What an import did. ``skipped_bytes`` were in the store already, whole."""

    bundles: tuple[ImportedBundle, ...]
    written_bytes: int
    skipped_bytes: int


def chosen_names(layout: Layout, name: str | None) -> list[tuple[Descriptor, BundleName]]:
    """All bundles of a layout with their names here; ``name`` (NAME or NAME:TAG) renames the only one.

    Raises BundleError, UnsupportedError, UsageError.
    """
    found = [(entry, bundle_name(entry, bundle, layout.where)) for entry, bundle in read_bundles(layout)]
    if name is None:
        return found
    if len(found) != 1:
        listed = ", ".join(str(given) for _, given in found[:20])
        raise UsageError(
            f"--name takes one bundle, and {layout.where} holds {len(found)}: {listed}",
            hint="import them with their own names, then `edgellm cp NAME OTHER-NAME`",
        )
    entry, given = found[0]
    return [(entry, parse_name(name, default_tag=given.tag))]


def import_layout(
    writer: StoreWriter,
    layout: Layout,
    chosen: Sequence[tuple[Descriptor, BundleName]],
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> ImportReport:
    """Copy the chosen bundles into the store of ``writer``.

    Blobs that are there and whole are not read from ``layout``; damaged ones are replaced. Nothing is visible before
    everything is. Raises BundleError, NoSpaceError, Interrupted.
    """
    progress, cancel = progress or SilentProgress(), cancel or CancelToken()
    blobs: dict[str, int] = {}
    for entry, _ in chosen:
        blobs |= read_bundle(layout, entry).blobs
    missing = _missing(writer, blobs, progress, cancel)
    writer.require_space(sum(missing.values()))
    if missing:
        progress.phase("import", sum(missing.values()))
    for digest, size_bytes in missing.items():
        copy_blob(layout, digest, size_bytes, writer, progress, cancel)
    written_bytes = sum(missing.values())
    return publish_bundles(writer, layout, chosen, written_bytes, sum(blobs.values()) - written_bytes)


def publish_bundles(
    writer: StoreWriter,
    layout: Layout,
    chosen: Sequence[tuple[Descriptor, BundleName]],
    written_bytes: int,
    skipped_bytes: int,
) -> ImportReport:
    """Make bundles visible of which the store of ``writer``, or the machine's below it, has every blob."""
    imported, finished = [], []
    for entry, name in chosen:
        bundle = read_bundle(layout, entry)
        if writer.is_machines(name, bundle.digest, bundle.blobs):
            imported.append(ImportedBundle(name, bundle, None, system=True))
            continue
        current = writer.current_digest(name)
        imported.append(ImportedBundle(name, bundle, current if current != bundle.digest else None))
        blobs = (entry, bundle.manifest.config, *bundle.manifest.layers)
        finished.append(FinishedBundle(entry, blobs, name))
    writer.publish(finished)
    return ImportReport(tuple(imported), written_bytes, skipped_bytes)


def _missing(writer: StoreWriter, blobs: dict[str, int], progress: Progress, cancel: CancelToken) -> dict[str, int]:
    """What the store lacks or has damaged. What it has is read and compared: that is faster than most media."""
    here = {digest: size_bytes for digest, size_bytes in blobs.items() if writer.has_file(digest)}
    if here:
        progress.phase("compare with what is here", sum(here.values()))
    return {
        digest: size_bytes
        for digest, size_bytes in blobs.items()
        if digest not in here or not writer.find_healthy(digest, size_bytes, progress=progress, cancel=cancel)
    }
