"""Copying a blob from a layout, every byte compared with its digest on the way."""

from __future__ import annotations

from collections.abc import Iterator

from edgellm.bundle.digest import short_digest
from edgellm.bundle.layout import Layout
from edgellm.bundle.writer import BundleWriter
from edgellm.errors import BundleError
from edgellm.files import os_errors
from edgellm.progress import CancelToken, Progress

__all__ = ["copy_blob", "damaged", "read_parts"]

_PART_BYTES = 4 << 20


def copy_blob(
    layout: Layout, digest: str, size_bytes: int, writer: BundleWriter, progress: Progress, cancel: CancelToken
) -> None:
    """Write one blob of ``layout`` again. Raises BundleError when it is not what its digest says, NoSpaceError."""
    with writer.blob(size_bytes) as blob:
        for part in read_parts(layout, digest, size_bytes, progress, cancel):
            blob.write(part)
    if blob.descriptor.digest != digest:
        raise damaged(layout.where, digest, blob.descriptor.digest)


def read_parts(
    layout: Layout, digest: str, size_bytes: int, progress: Progress, cancel: CancelToken
) -> Iterator[memoryview]:
    """The bytes of a blob in pieces, each valid until the next is asked for. Raises BundleError at an early end."""
    buffer = memoryview(bytearray(min(_PART_BYTES, max(size_bytes, 1))))
    left = size_bytes
    with layout.open_blob(digest) as file:
        while left > 0:
            cancel.check()
            with os_errors(f"read {layout.where}"):
                count = file.readinto(buffer[: min(left, len(buffer))]) or 0
            if not count:
                raise BundleError(f"{layout.where}: the blob {short_digest(digest)} ends {left} bytes early")
            yield buffer[:count]
            left -= count
            progress.advance(count)


def damaged(where: str, digest: str, found: str) -> BundleError:
    """The error for bytes whose digest is ``found`` instead of ``digest``."""
    return BundleError(
        f"{where}: the blob {short_digest(digest)} is damaged: its bytes have the digest {short_digest(found)}",
        hint="get it anew from where it came from: `edgellm verify` tells there whether it is whole",
    )
