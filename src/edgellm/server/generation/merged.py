"""Several streams as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

__all__ = ["merged"]

Item = TypeVar("Item")


async def merged(streams: Sequence[AsyncGenerator[Item, None]]) -> AsyncGenerator[Item, None]:
    """The items of all ``streams`` as they come. The first error ends all; closing the iterator closes all."""
    if len(streams) == 1:
        async with contextlib.aclosing(streams[0]) as only:
            async for item in only:
                yield item
        return
    arrived: asyncio.Queue[Item] = asyncio.Queue(maxsize=2 * len(streams))

    async def pump(stream: AsyncGenerator[Item, None]) -> None:
        async with contextlib.aclosing(stream):
            async for item in stream:
                await arrived.put(item)

    pumps = [asyncio.ensure_future(pump(stream)) for stream in streams]
    ending = asyncio.ensure_future(_all(pumps))
    try:
        while not (ending.done() and arrived.empty()):
            taking = asyncio.ensure_future(arrived.get())
            await asyncio.wait((taking, ending), return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                taking.cancel()
                ending.result()
                continue
            yield taking.result()
        ending.result()
    finally:
        for task in (ending, *pumps):
            task.cancel()
        await asyncio.gather(ending, *pumps, return_exceptions=True)


async def _all(pumps: Sequence[asyncio.Future[None]]) -> None:
    await asyncio.gather(*pumps)
