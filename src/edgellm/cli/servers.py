"""Asking the servers that run, from a command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from edgellm.client.connection import Client
from edgellm.errors import EdgeLLMError
from edgellm.running import RunningServer

__all__ = ["ask_each"]

Answer = TypeVar("Answer")


def ask_each(
    servers: Sequence[RunningServer], question: Callable[[Client], Awaitable[Answer]]
) -> list[tuple[RunningServer, Answer]]:
    """The answer of each to ``question``; one that fails is named in a warning, and the first error is raised where
    none answers."""
    from edgellm.cli.console import print_warning

    async def ask(server: RunningServer) -> Answer | EdgeLLMError:
        async with Client(server) as client:
            try:
                return await question(client)
            except EdgeLLMError as error:
                return error

    async def ask_all() -> list[Answer | EdgeLLMError]:
        return list(await asyncio.gather(*map(ask, servers)))

    found: list[tuple[RunningServer, Answer]] = []
    failures: list[EdgeLLMError] = []
    for server, answer in zip(servers, asyncio.run(ask_all()) if servers else [], strict=True):
        if isinstance(answer, EdgeLLMError):
            failures.append(answer)
        else:
            found.append((server, answer))
    if failures and not found:
        raise failures[0]
    for failure in failures:
        print_warning(failure.message)
    return found
