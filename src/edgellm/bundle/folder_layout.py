"""A layout in a folder. Links are not followed below the folder itself, and only plain files are opened."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from pathlib import Path

from edgellm.bundle.digest import digest_hex
from edgellm.errors import BundleError, NotFoundError
from edgellm.files import os_errors

__all__ = ["FolderLayout", "open_plain"]

_HEX = re.compile(r"[0-9a-f]{64}")


class FolderLayout:
    """Reads blobs where they lie: ``<folder>/blobs/sha256/<hex>``.

    ``lender``: where blobs lie that are not here; its index and what else it holds do not count.
    """

    def __init__(self, folder: Path, lender: FolderLayout | None = None) -> None:
        self.folder = folder
        self.lender = lender
        self.blobs = folder / "blobs" / "sha256"
        for inner in (self.blobs.parent, self.blobs):
            if inner.is_symlink():
                raise BundleError(f"{inner} is a link; a bundle has plain folders and files only")

    @property
    def where(self) -> str:
        """See Layout."""
        return str(self.folder)

    def blob_path(self, digest: str) -> Path:
        """Where the blob of a checked digest lies; where it would lie here when it is nowhere."""
        return self.lender.own_path(digest) if self.lender and self.is_lent(digest) else self.own_path(digest)

    def own_path(self, digest: str) -> Path:
        """Where the blob of a checked digest lies or would lie in this folder."""
        return self.blobs / digest_hex(digest)

    def is_lent(self, digest: str) -> bool:
        """True for a blob that only the lender has."""
        return self.lender is not None and not _exists(self.own_path(digest)) and _exists(self.lender.own_path(digest))

    def read_file(self, name: str, limit_bytes: int) -> bytes:
        """See Layout."""
        path = self.folder / name
        try:
            file = open_plain(path)
        except NotFoundError as error:
            raise BundleError(f"{self.folder} is not a bundle: it has no {name}") from error
        with file, os_errors(f"read {path}"):
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > limit_bytes:
                raise BundleError(f"{path} has {size_bytes} bytes; more than {limit_bytes} are not accepted")
            return file.read(limit_bytes)

    def blob_size(self, digest: str) -> int | None:
        """See Layout."""
        path = self.blob_path(digest)
        with os_errors(f"read {path}"):
            try:
                status = path.lstat()
            except FileNotFoundError:
                return None
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path} is not a plain file")
        return status.st_size

    def open_blob(self, digest: str) -> io.FileIO:
        """See Layout."""
        return open_plain(self.blob_path(digest))

    def blob_digests(self) -> set[str]:
        """See Layout. Without the lender's."""
        found: set[str] = set()
        if not self.blobs.is_dir():
            return found
        with os_errors(f"read {self.blobs}"), os.scandir(self.blobs) as entries:
            for entry in entries:
                if not _HEX.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                    raise BundleError(f"{self.blobs} has the entry {entry.name[:80]!r}, which is no blob")
                found.add(f"sha256:{entry.name}")
        return found


def _exists(path: Path) -> bool:
    """Whatever stands there; False for what this user may not look at."""
    try:
        path.lstat()
    except OSError:
        return False
    return True


def open_plain(path: Path) -> io.FileIO:
    """Open a regular file; never a link, and without waiting for a pipe's other end."""
    with os_errors(f"read {path}"):
        try:
            file_descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise BundleError(f"{path} is not a plain file") from error
            raise
    if not stat.S_ISREG(os.fstat(file_descriptor).st_mode):
        os.close(file_descriptor)
        raise BundleError(f"{path} is not a plain file")
    return io.FileIO(file_descriptor, "r")
