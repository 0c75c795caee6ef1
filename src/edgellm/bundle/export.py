"""Writing bundles out of a store or a folder: as an archive, to a file or into a pipe, or as a folder of their own.

An archive names first what it brings (index, manifests, plans, licences) and brings weights and adapters last, so that
whoever reads it from a pipe knows early what comes, whether there is room for it, and what it has already. The same
bundles always give the same bytes. No archive ends as archives do unless every byte in it was right.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgellm.bundle.copying import copy_blob, damaged, read_parts
from edgellm.bundle.digest import digest_hex
from edgellm.bundle.folder_writer import layout_writer, named_entry
from edgellm.bundle.index import LAYOUT_FILE, OCI_LAYOUT, encode_index
from edgellm.bundle.layout import Layout
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.media import ADAPTER_RAW_TYPE, MANIFEST_TYPE, WEIGHT_PREFIX
from edgellm.bundle.names import BundleName
from edgellm.bundle.partial_file import PartialFile
from edgellm.bundle.reading import Bundle
from edgellm.bundle.stream import HashedStream
from edgellm.bundle.tar_header import BLOCK_BYTES, padding_bytes, tar_header
from edgellm.bundle.writer import FinishedBundle
from edgellm.errors import UsageError
from edgellm.files import os_errors, require_free_space
from edgellm.progress import CancelToken, Progress, SilentProgress

__all__ = ["Outgoing", "export_file", "export_folder", "export_pipe"]


@dataclass(frozen=True)
class Outgoing:
    """One bundle to be exported, and what it is called where it goes."""

    name: BundleName
    bundle: Bundle
    layout: Layout

    @property
    def manifest(self) -> Descriptor:
        """The descriptor of its manifest."""
        digest = self.bundle.digest
        return Descriptor(media_type=MANIFEST_TYPE, digest=digest, size=self.bundle.blobs[digest])


def export_folder(
    bundles: Sequence[Outgoing], folder: Path, *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> int:
    """Copy the bundles into a new folder; returns the bytes of their blobs.

    Raises BundleError for a damaged blob, UsageError when the folder exists and is not empty, NoSpaceError.
    """
    _refuse_equal_names(bundles)
    progress, cancel = progress or SilentProgress(), cancel or CancelToken()
    blobs = _blobs_in_order(bundles)
    total_bytes = sum(size_bytes for _, size_bytes in blobs.values())
    with layout_writer(folder) as writer:
        writer.require_space(total_bytes)
        progress.phase("export", total_bytes)
        for digest, (layout, size_bytes) in blobs.items():
            copy_blob(layout, digest, size_bytes, writer, progress, cancel)
        writer.publish([_finished(outgoing) for outgoing in _sorted(bundles)])
    return total_bytes


def export_file(
    bundles: Sequence[Outgoing], target: Path, *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> int:
    """Write the bundles as one archive, in place of the one that is there; returns its bytes.

    Raises BundleError for a damaged blob, NoSpaceError; then ``target`` is as it was.
    """
    _refuse_equal_names(bundles)
    what = f"write {target}"
    archive = PartialFile(target, what)
    try:
        elsewhere = "give a place on another disk"
        require_free_space(archive.target.parent, _archive_bytes(bundles), str(target), elsewhere=elsewhere)
        stream = _ArchiveStream(archive.fd, what, durable=True)
        size_bytes = stream.write(bundles, progress or SilentProgress(), cancel or CancelToken())
        archive.publish()
    finally:
        archive.close()
    return size_bytes


def export_pipe(
    bundles: Sequence[Outgoing],
    file_descriptor: int,
    where: str,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> int:
    """Write the bundles as one archive into a pipe; returns its bytes. ``where`` names the pipe in messages.

    After a BundleError the archive in the pipe has no end, which every reader takes for torn.
    """
    _refuse_equal_names(bundles)
    stream = _ArchiveStream(file_descriptor, f"write {where}", durable=False)
    return stream.write(bundles, progress or SilentProgress(), cancel or CancelToken())


class _ArchiveStream:
    """Writes members one after the other; their names and sizes are known, so nothing is ever gone back to."""

    def __init__(self, file_descriptor: int, what: str, *, durable: bool) -> None:
        self._fd = file_descriptor
        self._what = what
        self._durable = durable
        self._written = 0

    def write(self, bundles: Sequence[Outgoing], progress: Progress, cancel: CancelToken) -> int:
        blobs = _blobs_in_order(bundles)
        progress.phase("export", sum(size_bytes for _, size_bytes in blobs.values()))
        for name, data in ((LAYOUT_FILE, OCI_LAYOUT), ("index.json", _index(bundles))):
            self._put(tar_header(name, len(data)) + data + bytes(padding_bytes(len(data))))
        for digest, (layout, size_bytes) in blobs.items():
            self._put(tar_header(f"blobs/sha256/{digest_hex(digest)}", size_bytes))
            content = HashedStream(self._fd, self._what, durable=self._durable)
            try:
                for part in read_parts(layout, digest, size_bytes, progress, cancel):
                    content.write(part)
                found = content.finish()
            finally:
                content.close()
            if found != digest:
                raise damaged(layout.where, digest, found)
            self._written += size_bytes
            self._put(bytes(padding_bytes(size_bytes)))
        self._put(bytes(2 * BLOCK_BYTES))
        return self._written

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        with os_errors(self._what):
            while view:
                view = view[os.write(self._fd, view) :]
        self._written += len(data)


def _blobs_in_order(bundles: Sequence[Outgoing]) -> dict[str, tuple[Layout, int]]:
    """Every blob once, with where it is read and its size: manifests, configs, small layers, weights with adapters."""
    stages: list[list[tuple[Outgoing, Descriptor]]] = [[], [], [], []]
    for outgoing in _sorted(bundles):
        manifest = outgoing.bundle.manifest
        stages[0].append((outgoing, outgoing.manifest))
        stages[1].append((outgoing, manifest.config))
        for layer in manifest.layers:
            is_large = layer.media_type.startswith((WEIGHT_PREFIX, ADAPTER_RAW_TYPE))
            stages[3 if is_large else 2].append((outgoing, layer))
    blobs: dict[str, tuple[Layout, int]] = {}
    for outgoing, blob in (found for stage in stages for found in stage):
        blobs.setdefault(blob.digest, (outgoing.layout, blob.size))
    return blobs


def _archive_bytes(bundles: Sequence[Outgoing]) -> int:
    sizes = [len(OCI_LAYOUT), len(_index(bundles)), *(size for _, size in _blobs_in_order(bundles).values())]
    return sum(BLOCK_BYTES + size + padding_bytes(size) for size in sizes) + 2 * BLOCK_BYTES


def _index(bundles: Sequence[Outgoing]) -> bytes:
    return encode_index([named_entry(outgoing.manifest, outgoing.name) for outgoing in _sorted(bundles)])


def _finished(outgoing: Outgoing) -> FinishedBundle:
    manifest = outgoing.bundle.manifest
    return FinishedBundle(outgoing.manifest, (outgoing.manifest, manifest.config, *manifest.layers), outgoing.name)


def _sorted(bundles: Sequence[Outgoing]) -> list[Outgoing]:
    """By name: the order in which they were asked for changes nothing."""
    return sorted(bundles, key=lambda outgoing: outgoing.name)


def _refuse_equal_names(bundles: Sequence[Outgoing]) -> None:
    names = [outgoing.name for outgoing in bundles]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{', '.join(twice)} would be exported twice", hint="name every bundle once")
