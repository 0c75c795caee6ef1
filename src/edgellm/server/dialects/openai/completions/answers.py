"""The answers to several prompts as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

from edgellm.server.generation.answer import answer
from edgellm.server.generation.events import Event
from edgellm.server.generation.request import CompletionRequest
from edgellm.server.models.loaded import LoadedModel

__all__ = ["answers"]

Batch = tuple[int, list[Event]]
"""The number of a prompt, and events of its answers."""


async def answers(model: LoadedModel, requests: Sequence[CompletionRequest]) -> AsyncGenerator[Batch, None]:
    """The events of all ``requests``, with the number of their request. Closing the iterator stops them."""
    if len(requests) == 1:
        async with contextlib.aclosing(answer(model, requests[0])) as stream:
            async for events in stream:
                yield 0, events
        return
    arrived: asyncio.Queue[Batch | BaseException | None] = asyncio.Queue(len(requests))
    tasks = [asyncio.ensure_future(_collect(model, request, place, arrived)) for place, request in enumerate(requests)]
    try:
        missing = len(tasks)
        while missing:
            item = await arrived.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                missing -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _collect(
    model: LoadedModel,
    request: CompletionRequest,
    place: int,
    arrived: asyncio.Queue[Batch | BaseException | None],
) -> None:
    try:
        async with contextlib.aclosing(answer(model, request)) as stream:
            async for events in stream:
                await arrived.put((place, events))
    except Exception as error:  # noqa: BLE001  it is raised where the events are read
        await arrived.put(error)
    else:
        await arrived.put(None)
