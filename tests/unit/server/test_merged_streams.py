"""Several streams as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from edgellm.server.generation.merged import merged


async def numbers(*values: int, closed: list[int] | None = None, fail: bool = False) -> AsyncGenerator[int, None]:
    try:
        for value in values:
            await asyncio.sleep(0)
            yield value
        if fail:
            raise ValueError("broken")
    finally:
        if closed is not None:
            closed.append(values[0])


def test_every_item_of_every_stream_comes_once_and_in_its_order() -> None:
    async def collect() -> list[int]:
        return [item async for item in merged([numbers(*range(50)), numbers(*range(100, 130)), numbers(200)])]

    found = asyncio.run(collect())
    assert sorted(found) == [*range(50), *range(100, 130), 200]
    assert [item for item in found if item < 100] == list(range(50))


@pytest.mark.parametrize("count", [1, 3])
def test_closing_it_closes_all(count: int) -> None:
    closed: list[int] = []

    async def leave() -> None:
        streams = merged([numbers(n, n + 1, n + 2, closed=closed) for n in range(count)])
        await anext(streams)
        await streams.aclose()

    asyncio.run(leave())
    assert 0 in closed
    assert len(closed) <= count


def test_an_error_ends_all() -> None:
    closed: list[int] = []

    async def collect() -> None:
        async for _ in merged([numbers(1, 2, fail=True), numbers(*range(10, 1000), closed=closed)]):
            pass

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(collect())
    assert closed == [10]
