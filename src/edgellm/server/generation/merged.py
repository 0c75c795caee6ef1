"""Several streams as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

__all__ = ["merged"]

Item = TypeVar("Item")
_Arrived = asyncio.Queue["tuple[Item | None, Exception | None]"]


async def merged(streams: Sequence[AsyncGenerator[Item, None]]) -> AsyncGenerator[Item, None]:
    """The items of all ``streams`` as they come. The first error ends all; closing the iterator closes all.

    At most two items of each wait to be taken.
    """
    if len(streams) == 1:
        async with contextlib.aclosing(streams[0]) as only:
            async for item in only:
                yield item
        return
    arrived: _Arrived[Item] = asyncio.Queue(maxsize=2 * len(streams))
    pumps = [asyncio.ensure_future(_pump(stream, arrived)) for stream in streams]
    try:
        unfinished = len(pumps)
        while unfinished:
            taken, error = await arrived.get()
            if error is not None:
                raise error
            if taken is None:
                unfinished -= 1
            else:
                yield taken
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(stream: AsyncGenerator[Item, None], arrived: _Arrived[Item]) -> None:
    """The items of ``stream``, then None, or the error that ended it."""
    try:
        async with contextlib.aclosing(stream):
            async for item in stream:
                await arrived.put((item, None))
    except Exception as error:  # noqa: BLE001  it is raised where the items are taken
        await arrived.put((None, error))
    else:
        await arrived.put((None, None))
