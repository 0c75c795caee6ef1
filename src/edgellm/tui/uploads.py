"""Files of this disk on their way to the server, which knows them by their digests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from edgellm.files import os_errors, translate_os_error
from edgellm.tui.connection import Connection
from edgellm.tui.models.sources import LocalModel

__all__ = ["Uploader"]

_PIECE_BYTES = 1 << 20
Report = Callable[[str, int, int], None]  # what is done, bytes done, bytes in all


class Uploader:
    """Remembers the digests of files that have not changed since."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._digests: dict[tuple[Path, int, int], str] = {}

    async def send(self, model: LocalModel, report: Report) -> dict[str, str]:
        """File name -> digest, once the server has all of them. What it has already is not sent again.

        Raises AccessError, NoSpaceError, NetworkError.
        """
        total_bytes = await asyncio.to_thread(lambda: model.size_bytes)
        found: dict[str, str] = {}
        done_bytes = 0
        for name, path in model.names.items():
            found[name] = await self._digest(path, done_bytes, total_bytes, report)
            done_bytes += path.stat().st_size
        client = await self._connection.client()
        done_bytes = 0
        for name, path in model.names.items():
            size_bytes, address = path.stat().st_size, f"/api/blobs/{found[name]}"
            if not await client.has(address):
                with os_errors(f"read {path}"):
                    source = path.open("rb")
                with source:
                    start_bytes = done_bytes

                    def sent(count: int, start_bytes: int = start_bytes) -> None:
                        report("sending", start_bytes + count, total_bytes)

                    await client.upload(address, _pieces(source, sent), size_bytes)
            done_bytes += size_bytes
        return found

    async def _digest(self, path: Path, before_bytes: int, total_bytes: int, report: Report) -> str:
        status = path.stat()
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._digests:
            state = hashlib.sha256()
            with os_errors(f"read {path}"):
                source = path.open("rb")
            with source:
                async for piece in _pieces(source, lambda count: report("reading", before_bytes + count, total_bytes)):
                    await asyncio.to_thread(state.update, piece)
            self._digests[key] = f"sha256:{state.hexdigest()}"
        return self._digests[key]


async def _pieces(source: BinaryIO, told: Callable[[int], None]) -> AsyncIterator[bytes]:
    count = 0
    while True:
        try:
            piece = await asyncio.to_thread(source.read, _PIECE_BYTES)
        except OSError as error:
            raise translate_os_error(error, f"read {source.name}") from error
        if not piece:
            return
        yield piece
        count += len(piece)
        told(count)
