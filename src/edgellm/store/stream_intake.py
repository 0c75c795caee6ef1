"""Importing from a pipe: one pass over an archive whose members come in any order.

Blobs are staged as they arrive. As soon as the index and the manifests are there, everything that follows is held
against them; what came before is held against them then. A blob that the store has is read past and not written.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from edgellm.bundle.canonical import JSON_LIMIT_BYTES
from edgellm.bundle.contained import listed_blobs
from edgellm.bundle.copying import damaged
from edgellm.bundle.folder_layout import open_plain
from edgellm.bundle.index import LAYOUT_FILE
from edgellm.bundle.layout import read_index
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.tar_stream import StreamSource
from edgellm.bundle.tar_walk import TarMember, walk_tar
from edgellm.errors import BundleError
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm.store.intake import ImportReport, chosen_names, publish_bundles
from edgellm.store.writer import StoreWriter

__all__ = ["import_stream"]


def import_stream(
    writer: StoreWriter,
    file_descriptor: int,
    where: str,
    *,
    name: str | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> ImportReport:
    """Import the bundles of an archive that arrives on ``file_descriptor``; ``where`` names it in messages.

    Raises BundleError, UnsupportedError, UsageError, NoSpaceError, Interrupted; then the store is as before.
    """
    progress, cancel = progress or SilentProgress(), cancel or CancelToken()
    return _StreamImport(writer, StreamSource(file_descriptor, where, cancel), name, progress, cancel).run()


class _StreamImport:
    def __init__(
        self, writer: StoreWriter, source: StreamSource, name: str | None, progress: Progress, cancel: CancelToken
    ) -> None:
        self._writer = writer
        self._source = source
        self._name = name
        self._progress = progress
        self._cancel = cancel
        self._arrived = _ArrivedLayout(source.where)
        self._entries: list[Descriptor] | None = None  # of the index, known once it is there
        self._awaited: set[str] = set()  # manifests that the index names and that are not there yet
        self._listed: dict[str, int] | None = None  # known once index and manifests are there
        self._written_bytes = 0
        self._skipped_bytes = 0

    def run(self) -> ImportReport:
        self._progress.phase("receive")
        for member in walk_tar(self._source):
            self._take(member)
            if self._listed is None and member.size_bytes <= JSON_LIMIT_BYTES:
                self._look_for_the_list()
        chosen = chosen_names(self._arrived, self._name)
        return publish_bundles(self._writer, self._arrived, chosen, self._written_bytes, self._skipped_bytes)

    def _take(self, member: TarMember) -> None:
        digest = member.digest
        if digest is None:
            limit_bytes = 4096 if member.name == LAYOUT_FILE else JSON_LIMIT_BYTES
            if member.size_bytes > limit_bytes:
                raise BundleError(
                    f"{self._source.where}: {member.name} has {member.size_bytes} bytes; more than {limit_bytes} are "
                    "not accepted"
                )
            self._arrived.files[member.name] = b"".join(map(bytes, self._source.parts(member.size_bytes)))
            return
        if self._listed is not None:
            self._compare(digest, member.size_bytes)
        if self._writer.find_healthy(digest, member.size_bytes, cancel=self._cancel):
            self._pass(digest, member.size_bytes)
        else:
            self._stage(digest, member.size_bytes)
        self._arrived.blobs[digest] = self._writer.blob_file(digest)
        self._awaited.discard(digest)

    def _pass(self, digest: str, size_bytes: int) -> None:
        """The bytes are not needed, yet they show whether the archive can be trusted."""
        state = hashlib.sha256()
        for part in self._source.parts(size_bytes):
            state.update(part)
            self._progress.advance(len(part))
        if f"sha256:{state.hexdigest()}" != digest:
            raise damaged(self._source.where, digest, f"sha256:{state.hexdigest()}")
        self._skipped_bytes += size_bytes

    def _stage(self, digest: str, size_bytes: int) -> None:
        with self._writer.blob(size_bytes) as blob:
            for part in self._source.parts(size_bytes):
                blob.write(part)
                self._progress.advance(len(part))
        if blob.descriptor.digest != digest:
            raise damaged(self._source.where, digest, blob.descriptor.digest)
        self._written_bytes += size_bytes

    def _look_for_the_list(self) -> None:
        """Once the list of blobs is known: is there room for the rest, and is what came so far on it?"""
        arrived = self._arrived
        if self._entries is None and {LAYOUT_FILE, "index.json"} <= set(arrived.files):
            self._entries = read_index(arrived).manifests
            self._awaited = {entry.digest for entry in self._entries} - set(arrived.blobs)
        if self._entries is None or self._awaited:
            return
        self._listed = listed_blobs(arrived, self._entries)
        for digest in arrived.blobs:
            self._compare(digest, arrived.blob_size(digest))
        rest = {digest: size for digest, size in self._listed.items() if digest not in arrived.blobs}
        self._writer.require_space(sum(size for digest, size in rest.items() if not self._writer.has_file(digest)))
        if rest:
            self._progress.phase("import", sum(rest.values()))

    def _compare(self, digest: str, size_bytes: int | None) -> None:
        assert self._listed is not None
        if digest not in self._listed:
            raise BundleError(f"{self._source.where} has the blob {digest}, which its manifest does not list")
        if size_bytes != self._listed[digest]:
            raise BundleError(
                f"{self._source.where}: the blob {digest} should have {self._listed[digest]} bytes and has {size_bytes}"
            )


class _ArrivedLayout:
    """What has arrived so far, as a layout: the small files in memory, the blobs where they lie by now."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.files: dict[str, bytes] = {}
        self.blobs: dict[str, Path] = {}

    def read_file(self, name: str, limit_bytes: int) -> bytes:
        """See Layout."""
        if name not in self.files:
            raise BundleError(f"{self.where} is not a bundle: it has no {name}")
        return self.files[name]

    def blob_size(self, digest: str) -> int | None:
        """See Layout."""
        path = self.blobs.get(digest)
        return path.stat().st_size if path is not None else None

    def open_blob(self, digest: str) -> io.FileIO:
        """See Layout."""
        return open_plain(self.blobs[digest])

    def blob_digests(self) -> set[str]:
        """See Layout."""
        return set(self.blobs)
