"""Writing blobs as files: the common part of the store and of ``--output DIR``, and the latter itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgellm.bundle.digest import digest_hex
from edgellm.bundle.index import LAYOUT_FILE, OCI_LAYOUT, encode_index
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.media import (
    ANNOTATION_NAME,
    ANNOTATION_REF_NAME,
    ANNOTATION_TAG,
    MANIFEST_TYPE,
    MODEL_ARTIFACT_TYPE,
)
from edgellm.bundle.names import BundleName
from edgellm.bundle.staging import StagingFolder, remove_dead_staging
from edgellm.bundle.stream import HashedStream
from edgellm.bundle.writer import BLOB_TYPE, BlobWriter, BundleWriter, FinishedBundle
from edgellm.errors import EdgeLLMError, UsageError
from edgellm.files import fsync_directory, os_errors, require_free_space, write_atomic

__all__ = ["FolderWriter", "LayoutWriter", "layout_writer", "named_entry"]


def named_entry(manifest: Descriptor, name: BundleName) -> Descriptor:
    """The entry of index.json that calls ``manifest`` by ``name``; the tag is what other OCI tools look for."""
    annotations = {ANNOTATION_REF_NAME: name.tag, ANNOTATION_NAME: name.name, ANNOTATION_TAG: name.tag}
    return msgspec.structs.replace(
        manifest, media_type=MANIFEST_TYPE, artifact_type=MODEL_ARTIFACT_TYPE, annotations=annotations
    )


class FolderWriter(BundleWriter):
    """Writes each blob to a file in ``staging/blobs/sha256``; several blobs may be open at once.

    ``destination`` and ``place`` name in messages what is written and the folder on whose disk it lies; ``elsewhere``
    says how to choose another.
    """

    def __init__(self, staging: StagingFolder, destination: str, place: Path, elsewhere: str) -> None:
        self._staging = staging
        self._destination = destination
        self._place = place
        self._elsewhere = elsewhere
        self._blobs = staging.path / "blobs" / "sha256"
        self._serial = 0
        try:
            with os_errors(f"write {destination}"):
                self._blobs.mkdir(parents=True)
        except BaseException:
            staging.close()
            raise

    @contextmanager
    def blob(self, expected_bytes: int | None = None) -> Iterator[BlobWriter]:
        """See BundleWriter."""
        if expected_bytes is not None:
            self.require_space(expected_bytes)
        self._serial += 1
        temporary = self._staging.path / f"partial-{self._serial}"
        what = f"write {self._destination}"
        with os_errors(what):
            # Read-only from the start: nothing may change a blob once it carries its digest.
            file_descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        stream = HashedStream(file_descriptor, what)
        try:
            writer = BlobWriter(stream)
            yield writer
            digest = writer.finish().digest
            with os_errors(what):
                temporary.replace(self._blobs / digest_hex(digest))
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        finally:
            stream.close()
            os.close(file_descriptor)

    def take_file(self, path: Path, digest: str) -> Descriptor:
        """See BundleWriter: a second name of the same file, so that a crash or a failed commit costs no download."""
        source, target = path.resolve(), self._blobs / digest_hex(digest)
        try:
            os.link(source, target)
        except FileExistsError:
            pass  # taken before
        except OSError:  # another disk, or a file system without links
            return super().take_file(source, digest)
        with os_errors(f"write {self._destination}"):
            target.chmod(0o444)
            with target.open("rb") as file:
                os.fsync(file.fileno())
                size_bytes = os.fstat(file.fileno()).st_size
        return Descriptor(media_type=BLOB_TYPE, digest=digest, size=size_bytes)

    def require_space(self, needed_bytes: int) -> None:
        """See BundleWriter."""
        require_free_space(self._place, needed_bytes, self._destination, elsewhere=self._elsewhere)

    @contextmanager
    def readable(self, blob: Descriptor) -> Iterator[Path]:
        """See BundleWriter: the staged file itself."""
        path = self._blobs / digest_hex(blob.digest)
        if not path.is_file():
            raise EdgeLLMError(f"the blob {blob.digest} was not written by this writer")
        yield path

    def close(self) -> None:
        """See BundleWriter."""
        self._staging.close()


class LayoutWriter(FolderWriter):
    """A bundle as an OCI image layout in a folder of its own: staged beside it, renamed at the commit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._refuse_existing()
        prefix = f".{self._folder.name}.partial-"
        remove_dead_staging(self._folder.parent, prefix)
        parent = self._folder.parent
        super().__init__(StagingFolder(parent, prefix), str(folder), parent, "give a place on another disk")

    def _refuse_existing(self) -> None:
        with os_errors(f"write {self._folder}"):
            if self._folder.is_symlink() or (
                self._folder.exists() and (not self._folder.is_dir() or any(self._folder.iterdir()))
            ):
                raise UsageError(
                    f"{self._folder} exists already and is not an empty folder",
                    hint="remove it first, or give another place",
                )

    def publish(self, bundles: Sequence[FinishedBundle]) -> None:
        """See BundleWriter."""
        root = self._staging.path
        wanted = {digest_hex(blob.digest) for bundle in bundles for blob in bundle.blobs}
        entries = [named_entry(bundle.manifest, bundle.name) for bundle in bundles]
        with os_errors(f"write {self._destination}"):
            for name in wanted:
                if not (self._blobs / name).is_file():
                    raise EdgeLLMError(f"the blob {name} was not written by this writer")
            for path in self._blobs.iterdir():
                if path.name not in wanted:
                    path.unlink()
            fsync_directory(self._blobs)
            fsync_directory(self._blobs.parent)
            write_atomic(root / LAYOUT_FILE, OCI_LAYOUT)
            write_atomic(root / "index.json", encode_index(entries))
            self._refuse_existing()
            root.rename(self._folder)
            self._staging.release()
            fsync_directory(self._folder.parent)


def layout_writer(folder: Path) -> LayoutWriter:
    """A writer for ``--output DIR``. Raises UsageError when the folder exists and is not empty."""
    return LayoutWriter(folder)
