"""A server that has enough to do: what it says to whoever comes, and how soon."""

from __future__ import annotations

import asyncio
import statistics
import time

import httpx
from http_place import HttpBench, open_server
from http_targets import FREE, FULL, OURS
from serve_load import Ask

__all__ = ["run_full"]

ROOM, REFUSED = 8, 100
TOKENS = 160


async def run_full(bench: HttpBench) -> None:
    """All of its places are taken by streams while others come, one after the other."""
    async with open_server(bench, ROOM, "--max-requests", str(ROOM)) as served:
        contender = served.contender(bench.model)
        begun = asyncio.Semaphore(0)

        async def occupy(index: int) -> None:
            ask = Ask(bench.model.prompt(32, ("full", index)), TOKENS)
            first = True
            async for _event in contender.prepare(ask)():
                if first:
                    begun.release()
                    first = False

        busy = [asyncio.create_task(occupy(index)) for index in range(ROOM)]
        for _ in range(ROOM):
            await begun.acquire()
        times: list[float] = []
        async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client:
            body = {"model": served.name, "prompt": "x", "max_tokens": 1}
            while len(times) < REFUSED and not any(task.done() for task in busy):
                asked = time.perf_counter()
                answer = await client.post("/v1/completions", json=body)
                if answer.status_code != 503:
                    break
                times.append(1e3 * (time.perf_counter() - asked))
                if "retry-after" not in answer.headers:
                    raise RuntimeError("a full server does not say when to come again")
        await asyncio.gather(*busy)
        await contender.aclose()
    if not times:
        raise RuntimeError("the server was never full")
    case = f"{len(times)} refused beside {ROOM} streams"
    numbers = {FULL: max(times), "median until 503, ms": statistics.median(times)}
    bench.book.add("full", bench.model.name, case, OURS, **numbers)
    bench.book.add("full", bench.model.name, case, FREE, **{FULL: 0.0})
