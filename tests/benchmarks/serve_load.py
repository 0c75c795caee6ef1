"""What is asked of a server, and what came of it: the same driver and the same clocks whoever answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from serve_cpu import Spent, spent

__all__ = ["Ask", "Contender", "Event", "Outcome", "Reply", "drive", "percentile"]

DISTURBED = 0.1  # cores


@dataclass(frozen=True)
class Ask:
    """One request: token ids in, exactly ``tokens`` tokens out."""

    prompt: tuple[int, ...]
    tokens: int
    at_s: float = 0.0  # after the beginning of the load
    seed: int = 1
    temperature: float = 0.8
    schema: str | None = None  # JSON schema that the answer has to follow
    speculate: bool = False
    save: bool = False  # keep the prefix on disk
    background: bool = False  # ends as soon as all others are answered


@dataclass(frozen=True)
class Event:
    """What arrives at once: ``tokens`` new ones, or the counts at the end."""

    tokens: int
    text: str = ""
    prompt_tokens: int | None = None
    generated_tokens: int | None = None
    cached_tokens: int | None = None
    drafted_tokens: int | None = None
    accepted_tokens: int | None = None


@dataclass
class Reply:
    """One answer as its reader saw it. Times are those of time.perf_counter."""

    asked: float
    stamps: list[float] = field(default_factory=list)  # of events with tokens
    tokens: int = 0
    ended: float = 0.0
    complete: bool = False  # it was not cut short
    text: list[str] = field(default_factory=list)
    counts: Event = field(default_factory=lambda: Event(0))

    @property
    def first_s(self) -> float:
        """From the request to its first token."""
        return self.stamps[0] - self.asked

    def gaps(self, since: float = float("-inf"), until: float = float("inf")) -> list[float]:
        """Seconds between token events that follow each other; only those that touch the given time."""
        return [b - a for a, b in itertools.pairwise(self.stamps) if b >= since and a <= until]

    def longest_wait(self, since: float, until: float) -> float:
        """The longest time without a token that touches the given one, also before the first and after the last."""
        stamps = [self.asked, *self.stamps, *([] if self.complete else [until])]
        waits = [b - a for a, b in itertools.pairwise(stamps) if b >= since and a <= until]
        return max(waits, default=0.0)


@dataclass
class Outcome:
    """A whole load. ``client_s`` is CPU time of whoever asks and reads, ``cpu`` that of everybody."""

    replies: list[Reply]
    wall_s: float
    client_s: float
    cpu: Spent

    @property
    def disturbed(self) -> bool:
        """Others took more than a tenth of a core."""
        return self.cpu.others + self.cpu.stolen > DISTURBED * self.wall_s

    @property
    def tokens_per_s(self) -> float:
        return sum(reply.tokens for reply in self.replies) / self.wall_s

    @property
    def median_gap_ms(self) -> float:
        return 1e3 * statistics.median(gap for reply in self.replies for gap in reply.gaps())

    @property
    def median_first_ms(self) -> float:
        return 1e3 * statistics.median(reply.first_s for reply in self.replies)

    @property
    def client_share(self) -> float:
        """Of one core."""
        return self.client_s / self.wall_s


class Contender(Protocol):
    """Someone who answers. ``client_clock`` counts the CPU time of this process that its answers cost."""

    name: str
    exact: bool  # says itself how many tokens it made
    client_clock: Callable[[], float]

    def prepare(self, ask: Ask) -> Callable[[], AsyncIterator[Event]]:
        """All that may happen before the clock starts."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` (0 to 1) of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def drive(contender: Contender, asks: Sequence[Ask], concurrency: int | None = None) -> Outcome:
    """Ask everything, at most ``concurrency`` at a time, in order. Raises RuntimeError where an answer is not whole."""
    ready = [contender.prepare(ask) for ask in asks]
    gate = asyncio.Semaphore(concurrency or len(asks))
    replies: list[Reply] = [Reply(0.0) for _ in asks]

    async def one(index: int) -> None:
        if asks[index].at_s:
            await asyncio.sleep(started + asks[index].at_s - time.perf_counter())
        async with gate:
            await _read(ready[index], replies[index])

    client, before = contender.client_clock(), spent()
    started = time.perf_counter()
    tasks = [asyncio.create_task(one(index)) for index in range(len(asks))]
    try:
        await asyncio.gather(*(task for task, ask in zip(tasks, asks, strict=True) if not ask.background))
        wall_s = time.perf_counter() - started
        client_s, cpu = contender.client_clock() - client, spent().since(before)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
    for ask, reply in zip(asks, replies, strict=True):
        _check(contender, ask, reply)
    return Outcome(replies, wall_s, client_s, cpu)


async def _read(answer: Callable[[], AsyncIterator[Event]], reply: Reply) -> None:
    reply.asked = time.perf_counter()
    async with contextlib.aclosing(answer()) as events:  # type: ignore[type-var]
        async for event in events:
            if event.tokens:
                reply.stamps.append(time.perf_counter())
                reply.tokens += event.tokens
                reply.text.append(event.text)
            else:
                reply.counts = event
    reply.ended = time.perf_counter()
    reply.complete = True


def _check(contender: Contender, ask: Ask, reply: Reply) -> None:
    """Times of unequal work say nothing."""
    counts = reply.counts
    if counts.generated_tokens is not None:
        reply.tokens = counts.generated_tokens
    if ask.background and not reply.complete:
        return
    if reply.tokens != ask.tokens if contender.exact else not 0 < reply.tokens <= ask.tokens:
        raise RuntimeError(f"{contender.name} gave {reply.tokens} tokens where {ask.tokens} were asked for")
    if counts.prompt_tokens is not None and not 0 <= counts.prompt_tokens - len(ask.prompt) <= (not contender.exact):
        raise RuntimeError(f"{contender.name} read {counts.prompt_tokens} tokens, the prompt has {len(ask.prompt)}")
