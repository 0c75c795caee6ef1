"""What has become otherwise since a moment ago, found by looking at little."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from edgellm.api.changes import Changes
from edgellm.store.folder import INDEX_FILE

if TYPE_CHECKING:
    from edgellm.server.state import ServerState

__all__ = ["watch_changes"]

_LOOK_S = 0.5


async def watch_changes(state: ServerState) -> AsyncGenerator[Changes, None]:
    """The numbers now, and again whenever one has changed, until the server is to end."""
    looks = (_models, _jobs, _store)
    seen: list[Any] = [None] * len(looks)
    numbers = [0] * len(looks)
    while True:
        found = [look(state) for look in looks]
        changed = [index for index, value in enumerate(found) if value != seen[index]]
        for index in changed:
            numbers[index] += 1
        seen = found
        if changed:
            models, jobs, store = numbers
            yield Changes(models=models, jobs=jobs, store=store)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(state.stopping.wait(), _LOOK_S)
        if state.stopping.is_set():
            return


def _models(state: ServerState) -> Any:
    models = state.models
    loaded = [
        (digest, each.state, each.engine.status().state, each.users > 0, sorted(each.names))
        for digest, each in models.engines.items()
    ]
    return loaded, sorted(models.loading), sorted(models.pins.names), sorted(models.failed_moves)


def _jobs(state: ServerState) -> Any:
    return state.jobs.revision


def _store(state: ServerState) -> Any:
    """The index is replaced whenever a name comes, goes or moves."""
    found = []
    for root in filter(None, (state.store.root, state.store.system_root)):
        with contextlib.suppress(OSError):
            status = (root / INDEX_FILE).stat()
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return found
