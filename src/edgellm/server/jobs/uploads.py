"""Blobs that clients send before they ask for something to be made of them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from edgellm.bundle.digest import digest_hex
from edgellm.bundle.staging import StagingFolder
from edgellm.errors import BusyError, NotFoundError, TooSlowError, UsageError
from edgellm.files import fsync_directory, os_errors, require_free_space
from edgellm.sources.download.leftovers import remove_finished
from edgellm.store.folder import STAGING_FOLDER, STAGING_PREFIX
from edgellm.store.store import Store

__all__ = ["Uploads"]

_PATIENCE_S = 60.0


class Uploads:
    """Files named by their digest, beside the downloads of the store: `edgellm gc --cache` removes them too."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, digest: str) -> Path:
        """The file of a checked ``digest``: uploaded, or a blob of the store. Raises NotFoundError."""
        path = self._path(digest)
        if path.is_file():
            return path
        stored = self._store.blob_file(digest)
        if stored is None:
            raise NotFoundError(f"the blob {digest} is not here", hint=f"send it first: POST /api/blobs/{digest}")
        return stored

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """A new folder on the disk of the uploads, where a second name of one costs nothing; removed afterwards."""
        staging = StagingFolder(self._store.downloads.parent / STAGING_FOLDER, STAGING_PREFIX)
        try:
            yield staging.path
        finally:
            staging.close()

    async def receive(self, digest: str, size_bytes: int | None, parts: AsyncIterator[bytes]) -> bool:
        """Take a blob in; False when it was here. ``size_bytes`` is what the client says that it has, if it does.

        Raises UsageError for other bytes than the digest says, NoSpaceError, BusyError while it is being sent.
        """
        with contextlib.suppress(NotFoundError):
            self.find(digest)
            return False
        path = self._path(digest)
        with self._part(path, size_bytes) as (descriptor, part):
            state, seen = hashlib.sha256(), 0
            while piece := await _next(parts):
                seen += len(piece)
                await asyncio.to_thread(_write, descriptor, piece, state)
            if state.hexdigest() != digest_hex(digest):
                raise UsageError(f"digest mismatch: these {seen} bytes have sha256:{state.hexdigest()}, not {digest}")
            await asyncio.to_thread(_settle, descriptor, part, path)
        return True

    def discard(self, digests: Iterable[str]) -> int:
        """Remove uploaded files, but none that a process is using; returns the bytes. Raises AccessError."""
        removed_bytes = 0
        for digest in digests:
            removed_bytes += remove_finished(self._path(digest))
        return removed_bytes

    def _path(self, digest: str) -> Path:
        return self._store.downloads / digest_hex(digest)

    @contextlib.contextmanager
    def _part(self, path: Path, size_bytes: int | None) -> Iterator[tuple[int, Path]]:
        """A file for what arrives, locked; it is removed again if the block does not rename it."""
        part = path.with_name(f"{path.name}.part")
        if size_bytes is not None:
            require_free_space(path.parent, size_bytes, "the blob")
        with os_errors(f"write {path.parent}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BusyError("this blob is being sent already", hint="wait until that has ended") from error
            os.ftruncate(descriptor, 0)
            try:
                yield descriptor, part
            except BaseException:
                with contextlib.suppress(OSError):
                    part.unlink()
                raise
        finally:
            os.close(descriptor)


async def _next(parts: AsyncIterator[bytes]) -> bytes:
    """The next bytes; empty at the end. Raises TooSlowError when none come for a while."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                part = await anext(parts, None)
                if part != b"":  # what frames of HTTP may be
                    return part or b""
    except TimeoutError:
        raise TooSlowError(f"no byte of the blob came for {_PATIENCE_S:g} s") from None


def _write(descriptor: int, piece: bytes, state: hashlib._Hash) -> None:
    with os_errors("write the blob"):
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]
    state.update(piece)


def _settle(descriptor: int, part: Path, path: Path) -> None:
    with os_errors(f"write {path}"):
        os.fsync(descriptor)
        part.replace(path)
        fsync_directory(path.parent)
