"""A layout in an uncompressed tar file, read where it lies: nothing is unpacked."""

from __future__ import annotations

import io
import os
from pathlib import Path

from edgellm.bundle.digest import digest_hex
from edgellm.bundle.folder_layout import open_plain
from edgellm.bundle.tar_walk import TarMember, walk_tar
from edgellm.errors import BundleError
from edgellm.files import os_errors

__all__ = ["TarLayout"]


class TarLayout:
    """Knows offset and size of every member. The whole archive is checked on opening; contents are not read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_plain(path) as file, os_errors(f"read {path}"):
            self._members = {member.name: member for member in walk_tar(_FileSource(file, str(path)))}

    @property
    def where(self) -> str:
        """See Layout."""
        return str(self._path)

    def read_file(self, name: str, limit_bytes: int) -> bytes:
        """See Layout."""
        member = self._members.get(name)
        if member is None:
            raise BundleError(f"{self._path} is not a bundle: it has no {name}")
        if member.size_bytes > limit_bytes:
            raise BundleError(
                f"{self._path}: {name} has {member.size_bytes} bytes; more than {limit_bytes} are not accepted"
            )
        with open_plain(self._path) as file, os_errors(f"read {self._path}"):
            return os.pread(file.fileno(), member.size_bytes, member.offset)

    def blob_size(self, digest: str) -> int | None:
        """See Layout."""
        member = self._blob(digest)
        return None if member is None else member.size_bytes

    def open_blob(self, digest: str) -> io.FileIO:
        """See Layout."""
        member = self._blob(digest)
        if member is None:
            raise BundleError(f"{self._path} has no blob {digest}")
        file = open_plain(self._path)
        file.seek(member.offset)
        return file

    def blob_digests(self) -> set[str]:
        """See Layout."""
        return {member.digest for member in self._members.values() if member.digest is not None}

    def _blob(self, digest: str) -> TarMember | None:
        return self._members.get(f"blobs/sha256/{digest_hex(digest)}")


class _FileSource:
    """A file of which only the headers are read."""

    def __init__(self, file: io.FileIO, where: str) -> None:
        self._fd = file.fileno()
        self._file_bytes = os.fstat(self._fd).st_size
        self.where = where
        self.position = 0

    def read(self, size_bytes: int) -> bytes:
        """See TarSource."""
        data = os.pread(self._fd, size_bytes, self.position)
        self.position += len(data)
        return data

    def skip(self, size_bytes: int) -> None:
        """See TarSource."""
        if size_bytes > self._file_bytes - self.position:
            raise BundleError(f"{self.where}: a member claims more than the archive has; it is torn")
        self.position += size_bytes
