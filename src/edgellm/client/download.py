"""What a server has as a file, written to a file here."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from edgellm.client.connection import Client
from edgellm.files import fsync_directory, os_errors, require_free_space, sync_data

__all__ = ["download"]

_AT_ONCE_BYTES = 1 << 20


async def download(client: Client, path: str, target: Path, told: Callable[[int, int | None], None]) -> int:
    """GET ``path`` into the new file ``target``; returns its size in bytes.

    ``told`` hears how many bytes have come, and of how many where the server says it. ``target`` is there whole or not
    at all. Raises what the server gives, AccessError, NoSpaceError; what is there already is never replaced.
    """
    part = target.with_name(f".{target.name}.part")
    size_bytes = 0
    try:
        async with client.parts(path) as (total_bytes, parts):
            if total_bytes is not None:
                require_free_space(target.parent, total_bytes, target.name, elsewhere="choose another folder")
            with os_errors(f"write {target}"):
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                waiting = bytearray()
                async for piece in parts:
                    waiting += piece
                    if len(waiting) >= _AT_ONCE_BYTES:
                        size_bytes += await asyncio.to_thread(_write, descriptor, waiting, target)
                        told(size_bytes, total_bytes)
                size_bytes += await asyncio.to_thread(_write, descriptor, waiting, target)
                await asyncio.to_thread(_finish, descriptor, part, target)
            finally:
                os.close(descriptor)
        told(size_bytes, size_bytes)
        return size_bytes
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _write(descriptor: int, waiting: bytearray, target: Path) -> int:
    """Write and empty ``waiting``; how much it was."""
    size_bytes = len(waiting)
    with os_errors(f"write {target}"):
        view = memoryview(bytes(waiting))
        while view:
            view = view[os.write(descriptor, view) :]
    waiting.clear()
    return size_bytes


def _finish(descriptor: int, part: Path, target: Path) -> None:
    with os_errors(f"write {target}"):
        sync_data(descriptor)
        os.link(part, target)  # unlike a rename it never replaces what came there meanwhile
        part.unlink()
        fsync_directory(target.parent)
