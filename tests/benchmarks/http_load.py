"""Many streams at once over HTTP, and many connections."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack

import httpx
from http_place import HttpBench, Served, open_server
from http_targets import CPU, FIRST, OURS, SPEED
from serve_bench import streams_name
from serve_load import Ask, Contender, Outcome, drive
from serve_ours import EngineContender, open_engine
from serve_peers import Place, absent, open_peer
from serve_report import PEER, WORKER
from serve_streams import CONTEXT, streams_load

__all__ = ["run_clients", "run_streams"]

IDLE, ACTIVE = 200, 64


async def run_streams(bench: HttpBench) -> None:
    """All contenders get the same load in turn, another one first each round."""
    for streams in bench.streams:
        async with AsyncExitStack() as stack:
            served = await stack.enter_async_context(open_server(bench, streams))
            engine = open_engine(
                bench.model.path, form=WORKER, context=CONTEXT, sequences=streams, threads=bench.threads
            )
            contenders: list[Contender] = [
                EngineContender(await stack.enter_async_context(engine), WORKER, forbidden=bench.model.forbidden),
                served.contender(bench.model),
            ]
            if reason := absent(PEER):
                bench.book.note(f"without {PEER}: {reason}")
            else:
                place = Place(CONTEXT, streams, bench.threads, bench.work)
                contenders.append(await stack.enter_async_context(open_peer(PEER, bench.model, place)))
                await drive(contenders[-1], [Ask(bench.model.prompt(8, ("warm", i)), 8) for i in range(4)])
            await _take_turns(bench, contenders, served, streams)


async def _take_turns(bench: HttpBench, contenders: list[Contender], served: Served, streams: int) -> None:
    case = streams_name(streams)
    for round_ in range(bench.rounds):
        load = streams_load(bench.model, streams, ("http", case, round_), tokens=bench.tokens)
        first = round_ % len(contenders)
        for contender in [*contenders[first:], *contenders[:first]]:
            before = served.cpu_s()
            outcome = await drive(contender, load.asks, load.concurrency)
            server_s = served.cpu_s() - before
            numbers = {
                SPEED: outcome.tokens_per_s,
                FIRST: outcome.median_first_ms,
                "client, cores": outcome.client_share,
            }
            if contender.name == OURS:
                numbers[CPU] = 1e6 * server_s / sum(reply.tokens for reply in outcome.replies)
                bench.book.add("http", bench.model.name, case, "nothing", **{CPU: 0.0})
            bench.book.add("http", bench.model.name, case, contender.name, **numbers)
            _say(f"{case}, {contender.name} {round_ + 1}/{bench.rounds}", outcome, numbers.get(CPU))
            if outcome.disturbed:
                bench.book.note(f"disturbed: {case}, {contender.name}, round {round_ + 1}")


def _say(title: str, outcome: Outcome, cpu_us: float | None) -> None:
    cpu = "" if cpu_us is None else f", server {cpu_us:.0f} us per token"
    line = f"{title}: {outcome.tokens_per_s:.1f} tokens/s, first after {outcome.median_first_ms:.0f} ms{cpu}"
    print(line, file=sys.stderr, flush=True)


async def run_clients(bench: HttpBench) -> None:
    """Connections that only stay, beside clients that stream; ``drive`` fails where an answer is not whole."""
    limits = httpx.Limits(max_connections=IDLE, max_keepalive_connections=IDLE, keepalive_expiry=None)
    async with open_server(bench, 16) as served, AsyncExitStack() as stack:
        idle = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=served.url, limits=limits, trust_env=False))
            for _ in range(IDLE)
        ]
        for client in idle:
            (await client.get("/health")).raise_for_status()
        contender = served.contender(bench.model)
        asks = [Ask(bench.model.prompt(32, ("clients", i)), 32, seed=i + 1) for i in range(2 * ACTIVE)]
        outcome = await drive(contender, asks, ACTIVE)
        await contender.aclose()
        kept = 0
        for client in idle:
            answer = await client.get("/health")
            answer.raise_for_status()
            kept += 1
        case = f"{IDLE} idle, {ACTIVE} active"
        numbers = {SPEED: outcome.tokens_per_s, FIRST: outcome.median_first_ms, "idle clients answered": float(kept)}
        bench.book.add("clients", bench.model.name, case, OURS, **numbers)
        _say(case, outcome, None)
