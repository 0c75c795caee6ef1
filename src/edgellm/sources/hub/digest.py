"""The two hashes by which a hub knows a file: sha256 (Git LFS), and git's own sha1 for small files."""

from __future__ import annotations

import hashlib
from typing import Protocol

from edgellm.errors import IntegrityError
from edgellm.sources.hub.repository import HubFile

__all__ = ["Hasher", "check_digest", "digest_mismatch", "new_hasher"]


class Hasher(Protocol):
    """What hashlib's objects can do."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Hash more bytes."""

    def hexdigest(self) -> str:
        """The hash of all so far, in hex."""


def new_hasher(file: HubFile) -> Hasher:
    """An empty hasher whose result for the right bytes is ``file.key``.

    git hashes ``b"blob <size>\\0"`` before the content: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    if file.sha256 is not None:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)


def check_digest(file: HubFile, data: bytes) -> None:
    """Raise IntegrityError when ``data`` is not the content that the hub announced."""
    hasher = new_hasher(file)
    hasher.update(data)
    if hasher.hexdigest() != file.key:
        raise digest_mismatch(file, hasher.hexdigest())


def digest_mismatch(file: HubFile, got: str) -> IntegrityError:
    """The error that names the file and both hashes."""
    kind = "sha256" if file.sha256 is not None else "git sha1"
    return IntegrityError(
        f"{file.path} arrived with the {kind} {got}; the hub announces {file.key}",
        hint="nothing of it was kept; run the command again, and check the proxy and HF_ENDPOINT if it stays so",
    )
