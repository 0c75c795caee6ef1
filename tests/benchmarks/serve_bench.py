"""Who takes part, and how they take turns."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from serve_load import Ask, Contender, Event, Outcome, drive
from serve_models import Model, open_model
from serve_ours import FORMS, EngineContender, missing, open_engine
from serve_peers import Place, absent, open_peer
from serve_report import PEER, Book

__all__ = ["Bench", "Load", "Variant", "streams_name", "take_turns"]


@dataclass(frozen=True)
class Load:
    """Requests, and how many of them may be on their way at once."""

    asks: Sequence[Ask]
    concurrency: int | None = None


@dataclass
class Bench:
    """What the whole run was asked for."""

    work: Path
    book: Book
    models: Sequence[str]  # empty: those of the targets
    contenders: Sequence[str]  # our forms and the peers, in the order of their turns
    threads: int
    rounds: int
    quick: bool
    streams: Sequence[int] = ()  # empty: those of the targets

    def chosen(self, *usual: str) -> list[Model]:
        """The models for a scenario: those that were asked for, else its usual ones."""
        return [open_model(name, self.work) for name in self.models or usual]

    def ours(self) -> list[str]:
        """Our forms that take part and can; a note says which cannot."""
        return [name for name in self.contenders if name in FORMS and self._can(name, missing(name))]

    def peers(self) -> list[str]:
        """The servers that take part and can."""
        return [name for name in self.contenders if name not in FORMS and self._can(name, absent(name))]

    def _can(self, name: str, reason: str | None) -> bool:
        if reason is not None:
            self.book.note(f"without {name}: {reason}")
        return reason is None

    def place(self, context: int, sequences: int) -> Place:
        return Place(context, sequences, self.threads, self.work)

    @asynccontextmanager
    async def open(
        self, model: Model, context: int, sequences: int, names: Sequence[str] | None = None, **more: Any
    ) -> AsyncIterator[list[Contender]]:
        """Everyone who takes part, each with the model loaded and warm. ``more`` goes to our LoadRequest."""
        names = [*self.ours(), *self.peers()] if names is None else names
        async with AsyncExitStack() as stack:
            found: list[Contender] = []
            for name in names:
                if name in FORMS:
                    engine = open_engine(
                        model.path, form=name, context=context, sequences=sequences, threads=self.threads, **more
                    )
                    contender: Contender = EngineContender(
                        await stack.enter_async_context(engine), name, forbidden=model.forbidden
                    )
                else:
                    peer = open_peer(name, model, self.place(context, sequences))
                    contender = await stack.enter_async_context(peer)
                found.append(contender)
            for contender in found:
                await drive(contender, [Ask(model.prompt(8, ("warm", i)), 8) for i in range(min(sequences, 4))])
            yield found


def streams_name(streams: int) -> str:
    """The name of a case with so many at a time."""
    return f"{streams} streams" if streams > 1 else "1 stream"


class Variant:
    """A contender that asks for something more; it takes turns with the plain one."""

    def __init__(self, contender: Contender, label: str, **changes: Any) -> None:
        self.name = f"{contender.name}, {label}"
        self.exact = contender.exact
        self.client_clock = contender.client_clock
        self._contender = contender
        self._changes = changes

    def prepare(self, ask: Ask) -> Callable[[], AsyncIterator[Event]]:
        return self._contender.prepare(replace(ask, **self._changes))


async def take_turns(
    bench: Bench,
    contenders: Sequence[Contender],
    load: Callable[[int], Load],
    keep: Callable[[str, Outcome], None],
    title: str,
) -> None:
    """Every round each contender gets the same load, one after the other, another one first each time.

    A new round has a new load, so that no cache helps. Peers that no target names take part in the first round alone.
    """
    for round_ in range(bench.rounds):
        asked = load(round_)
        first = round_ % len(contenders)
        for contender in [*contenders[first:], *contenders[:first]]:
            if round_ and contender.name.partition(",")[0] not in (*FORMS, PEER):
                continue
            outcome = await drive(contender, asked.asks, asked.concurrency)
            keep(contender.name, outcome)
            text = f"{title}, {contender.name} {round_ + 1}/{bench.rounds}: {outcome.wall_s:.2f} s"
            print(f"{text}, {outcome.tokens_per_s:.1f} tokens/s{_cpu(outcome)}", file=sys.stderr, flush=True)
            if outcome.disturbed:
                bench.book.note(f"disturbed: {text}{_cpu(outcome)}")


def _cpu(outcome: Outcome) -> str:
    """Cores that were busy."""
    ours, others, stolen = (seconds / outcome.wall_s for seconds in outcome.cpu)
    return f" ({ours:.2f} cores; others {others:.2f}, stolen {stolen:.2f})"
