"""Reading an OCI image layout without trusting it: what a folder and a tar file have in common."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Protocol

from edgellm.bundle.canonical import JSON_LIMIT_BYTES
from edgellm.bundle.digest import sha256_bytes, sha256_stream, short_digest
from edgellm.bundle.index import LAYOUT_FILE, check_layout, decode_index
from edgellm.bundle.manifest import Index
from edgellm.errors import BundleError

__all__ = ["Layout", "blob_problem", "open_layout", "read_blob", "read_index"]


class Layout(Protocol):
    """Where the parts of a bundle are found. Every method raises errors of our tree only."""

    @property
    def where(self) -> str:
        """The path, for messages."""

    def read_file(self, name: str, limit_bytes: int) -> bytes:
        """``oci-layout`` or ``index.json``. Raises BundleError when it is missing or larger than the limit."""

    def blob_size(self, digest: str) -> int | None:
        """Bytes of a blob, None when it is missing. Raises BundleError when it is not a plain file."""

    def open_blob(self, digest: str) -> io.FileIO:
        """The blob for reading, positioned at its first byte. It may go on behind the blob's last."""

    def blob_digests(self) -> set[str]:
        """The digests of all blobs that are there. Raises BundleError for an entry that belongs to no layout."""


def open_layout(path: Path) -> Layout:
    """The layout in a folder or an uncompressed tar file. Raises NotFoundError, BundleError, UnsupportedError."""
    from edgellm.bundle.folder_layout import FolderLayout
    from edgellm.bundle.tar_layout import TarLayout

    return FolderLayout(path) if path.is_dir() else TarLayout(path)


def read_index(layout: Layout) -> Index:
    """The checked index of a layout; its manifests may be none."""
    check_layout(layout.read_file(LAYOUT_FILE, 4096), layout.where)
    return decode_index(layout.read_file("index.json", JSON_LIMIT_BYTES), f"{layout.where}/index.json")


def read_blob(layout: Layout, digest: str, size_bytes: int, what: str) -> bytes:
    """A whole small blob, its size and digest checked. Sizes are compared before a byte is read.

    Raises BundleError, also when ``size_bytes`` is over 4 MiB.
    """
    if size_bytes > JSON_LIMIT_BYTES:
        raise BundleError(f"{what} claims {size_bytes} bytes; more than {JSON_LIMIT_BYTES} are not accepted")
    _require_size(layout, digest, size_bytes, what)
    with layout.open_blob(digest) as file:
        data = _read_exactly(file, size_bytes)
    if sha256_bytes(data) != digest:
        raise BundleError(f"{what} is damaged: its bytes do not match its digest {short_digest(digest)}")
    return data


def blob_problem(layout: Layout, digest: str, size_bytes: int) -> str | None:
    """Read every byte of a blob; says what is wrong with it, or None."""
    try:
        _require_size(layout, digest, size_bytes, f"the blob {short_digest(digest)}")
    except BundleError as error:
        return error.message
    with layout.open_blob(digest) as file:
        found, read_bytes = sha256_stream(file, size_bytes)
    if read_bytes != size_bytes:
        return f"the blob {short_digest(digest)} ends after {read_bytes} of {size_bytes} bytes"
    if found != digest:
        return f"the blob {short_digest(digest)} is damaged: its bytes have the digest {short_digest(found)}"
    return None


def _require_size(layout: Layout, digest: str, size_bytes: int, what: str) -> None:
    actual_bytes = layout.blob_size(digest)
    if actual_bytes is None:
        raise BundleError(f"{what} is missing: {layout.where} has no blob {short_digest(digest)}")
    if actual_bytes != size_bytes:
        raise BundleError(f"{what} should have {size_bytes} bytes and has {actual_bytes}")


def _read_exactly(file: io.FileIO, size_bytes: int) -> bytes:
    parts = bytearray()
    while len(parts) < size_bytes:
        part = file.read(size_bytes - len(parts))
        if not part:
            break
        parts += part
    return bytes(parts)
