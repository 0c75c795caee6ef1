"""What every target of a pack has in common: blobs are streamed in, a commit makes the bundle visible, or nothing is.

::

    with store.writer() as writer:                     # or layout_writer(folder), tar_writer(file)
        with writer.blob(expected_bytes) as blob:
            blob.write(data)
        weights = FileLayer("model.gguf", blob.descriptor)
        digest = writer.commit(BundleContents((weights,), plan, about, facts), name)

Leaving the outer block without a commit removes everything that was written.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from edgellm.bundle.contents import BundleContents, build_config, build_layers, build_manifest
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.names import BundleName
from edgellm.bundle.plan_codec import encode_plan
from edgellm.bundle.stream import HashedStream
from edgellm.errors import EdgeLLMError, IntegrityError, UsageError
from edgellm.files import os_errors

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BlobWriter", "BundleWriter", "FinishedBundle"]

BLOB_TYPE = "application/octet-stream"
_COPY_BYTES = 4 << 20


class BlobWriter:
    """One blob being written. ``descriptor`` is known once its block has ended without an error."""

    def __init__(self, stream: HashedStream) -> None:
        self._stream = stream
        self._descriptor: Descriptor | None = None

    def write(self, data: Buffer) -> int:
        """Append ``data`` (bytes or any C-contiguous buffer); returns its size in bytes."""
        return self._stream.write(data)

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._stream.size_bytes

    @property
    def descriptor(self) -> Descriptor:
        """Digest and size of the finished blob."""
        if self._descriptor is None:
            raise EdgeLLMError("the blob is not finished: its digest is known after its block has ended")
        return self._descriptor

    def finish(self) -> Descriptor:
        """Flush to the disk; called by the writer at the end of the block."""
        digest = self._stream.finish()
        self._descriptor = Descriptor(media_type=BLOB_TYPE, digest=digest, size=self._stream.size_bytes)
        return self._descriptor


@dataclass(frozen=True)
class FinishedBundle:
    """A bundle whose blobs are all written, to be made visible under ``name``."""

    manifest: Descriptor
    blobs: tuple[Descriptor, ...]  # all that it refers to, the manifest's own included
    name: BundleName


class BundleWriter(ABC):
    """The interface of the three targets: the store, a folder, a tar file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def blob(self, expected_bytes: int | None = None) -> AbstractContextManager[BlobWriter]:
        """A new blob. ``expected_bytes`` lets a full disk show before the work starts. Raises NoSpaceError."""

    @abstractmethod
    def require_space(self, needed_bytes: int) -> None:
        """Raise NoSpaceError when all blobs together, ``needed_bytes``, would not fit where they go."""

    @abstractmethod
    def readable(self, blob: Descriptor) -> AbstractContextManager[Path]:
        """A file with the bytes of a finished blob while the block runs, before anything is committed."""

    @abstractmethod
    def close(self) -> None:
        """Remove whatever was written and not committed."""

    @abstractmethod
    def publish(self, bundles: Sequence[FinishedBundle]) -> None:
        """Make the bundles visible under their names, all in one step."""

    def add_bytes(self, data: bytes) -> Descriptor:
        """A small blob from memory."""
        with self.blob(len(data)) as blob:
            blob.write(data)
        return blob.descriptor

    def add_file(self, path: Path) -> Descriptor:
        """A blob with the bytes of a regular file. Raises UsageError for anything but a file."""
        with _open_regular(path) as file_descriptor, self.blob(os.fstat(file_descriptor).st_size) as blob:
            while True:
                with os_errors(f"read {path}"):
                    part = os.read(file_descriptor, _COPY_BYTES)
                if not part:
                    break
                blob.write(part)
        return blob.descriptor

    def take_file(self, path: Path, digest: str) -> Descriptor:
        """A blob with the bytes of a file whose digest was checked when it was written; ``path`` is left as it is.

        Where the disk allows it nothing is copied; then nothing may write to ``path`` from now on. Raises
        IntegrityError when a copy had to be made and has another digest.
        """
        blob = self.add_file(path)
        if blob.digest != digest:
            raise IntegrityError(
                f"{path} is not the file with the digest {digest}", hint="remove it and fetch it again"
            )
        return blob

    def commit(self, contents: BundleContents, name: BundleName) -> str:
        """Write plan, config and manifest, and make the bundle visible; returns the digest of the manifest."""
        plan = self.add_bytes(encode_plan(contents.plan))
        layers = build_layers(contents, plan)
        config = self.add_bytes(build_config(contents, layers))
        manifest = self.add_bytes(build_manifest(layers, config))
        self.publish([FinishedBundle(manifest, (manifest, config, *layers), name)])
        return manifest.digest


@contextmanager
def _open_regular(path: Path) -> Iterator[int]:
    with os_errors(f"read {path}"):
        file_descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(file_descriptor).st_mode):
            raise UsageError(f"{path} is not a regular file")
        yield file_descriptor
    finally:
        os.close(file_descriptor)
