"""``--output FILE.tar``: the layout as one deterministic archive, written in one pass and without a second copy."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgellm.bundle.digest import digest_hex
from edgellm.bundle.folder_writer import named_entry
from edgellm.bundle.index import LAYOUT_FILE, OCI_LAYOUT, encode_index
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.partial_file import PartialFile
from edgellm.bundle.stream import HashedStream
from edgellm.bundle.tar_header import BLOCK_BYTES, padding_bytes, tar_header
from edgellm.bundle.writer import BlobWriter, BundleWriter, FinishedBundle
from edgellm.errors import BundleError, EdgeLLMError
from edgellm.files import os_errors, require_free_space

__all__ = ["TarWriter", "tar_writer"]

_COPY_BYTES = 4 << 20


_ELSEWHERE = "give a place on another disk"


class TarWriter(BundleWriter):
    """Appends members to a temporary file beside the target.

    A blob's name is its digest, known only after its last byte: its header is left empty and written afterwards. Blobs
    are written one after the other. The temporary file is locked while its writer lives; dead ones are removed.
    """

    def __init__(self, target: Path) -> None:
        self._what = f"write {target}"
        self._file = PartialFile(target, self._what)
        self._target = self._file.target
        self._end = 0
        self._members: dict[str, tuple[int, int]] = {}  # name -> offset and size of its content
        self._open = False

    @contextmanager
    def blob(self, expected_bytes: int | None = None) -> Iterator[BlobWriter]:
        """See BundleWriter."""
        if self._file.fd < 0 or self._open:
            raise EdgeLLMError("an archive takes one blob after the other, and none after the commit")
        if expected_bytes is not None:
            require_free_space(self._target.parent, expected_bytes, str(self._target), elsewhere=_ELSEWHERE)
        with os_errors(self._what):
            os.lseek(self._file.fd, self._end + BLOCK_BYTES, os.SEEK_SET)
        stream = HashedStream(self._file.fd, self._what)
        self._open = True
        try:
            writer = BlobWriter(stream)
            yield writer
            blob = writer.finish()
            self._end_member(f"blobs/sha256/{digest_hex(blob.digest)}", blob.size)
        except BaseException:
            stream.close()
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fd, self._end)
            raise
        finally:
            self._open = False

    def require_space(self, needed_bytes: int) -> None:
        """See BundleWriter. Twice the bytes: ``readable`` makes a copy for a while."""
        what = f"{self._target} with a copy for its test"
        require_free_space(self._target.parent, 2 * needed_bytes, what, elsewhere=_ELSEWHERE)

    @contextmanager
    def readable(self, blob: Descriptor) -> Iterator[Path]:
        """See BundleWriter: a copy beside the archive, because no program can map a file inside a file."""
        offset, size_bytes = self._members[f"blobs/sha256/{digest_hex(blob.digest)}"]
        copy = self._file.path.with_name(f"{self._file.path.name}.{secrets.token_hex(4)}.copy")
        try:
            with os_errors(self._what), copy.open("wb") as file:
                # The same lock as the archive's tells a dead writer's copy.
                fcntl.flock(file.fileno(), fcntl.LOCK_EX)
                os.lseek(self._file.fd, offset, os.SEEK_SET)
                left = size_bytes
                while left:
                    part = os.read(self._file.fd, min(left, _COPY_BYTES))
                    file.write(part)
                    left -= len(part)
                file.flush()
                yield copy
        finally:
            copy.unlink(missing_ok=True)

    def close(self) -> None:
        """See BundleWriter."""
        self._file.close()

    def publish(self, bundles: Sequence[FinishedBundle]) -> None:
        """See BundleWriter."""
        wanted = {f"blobs/sha256/{digest_hex(blob.digest)}" for bundle in bundles for blob in bundle.blobs}
        if wanted != set(self._members):
            raise BundleError("the archive has other blobs than the bundle: write every blob once, none for nothing")
        self._append(LAYOUT_FILE, OCI_LAYOUT)
        self._append("index.json", encode_index([named_entry(bundle.manifest, bundle.name) for bundle in bundles]))
        with os_errors(self._what):
            os.pwrite(self._file.fd, bytes(2 * BLOCK_BYTES), self._end)
        self._file.publish()

    def _append(self, name: str, data: bytes) -> None:
        with os_errors(self._what):
            os.lseek(self._file.fd, self._end + BLOCK_BYTES, os.SEEK_SET)
            _write_all(self._file.fd, data)
        self._end_member(name, len(data))

    def _end_member(self, name: str, size_bytes: int) -> None:
        """Write the header in front of the content that was just written, or drop a content that is there already."""
        with os_errors(self._what):
            if name in self._members:
                os.ftruncate(self._file.fd, self._end)
                return
            _write_all(self._file.fd, bytes(padding_bytes(size_bytes)))
            os.pwrite(self._file.fd, tar_header(name, size_bytes), self._end)
        self._members[name] = (self._end + BLOCK_BYTES, size_bytes)
        self._end += BLOCK_BYTES + size_bytes + padding_bytes(size_bytes)


def tar_writer(target: Path) -> TarWriter:
    """A writer for ``--output FILE.tar``; an archive that is there already is replaced at the commit."""
    return TarWriter(target)


def _write_all(file_descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file_descriptor, view) :]
