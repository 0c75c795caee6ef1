"""Many clients, few megabytes: whatever they do, each bundle is loaded once and the budget holds."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import pytest
from model_rig import SHORT, add_bundle, answer, open_store, run_with

from edgellm.errors import BusyError, DoesNotFitError, UsageError
from edgellm.server.config import ServerConfig
from edgellm.server.models.manager import ModelManager

NAMES = ("one", "two", "three", "four")
CLIENTS = 6
TURNS = 12


@pytest.mark.parametrize("seed", range(4))
def test_a_random_day(tmp_path: Path, tiny_gguf: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    for number, name in enumerate(NAMES):
        add_bundle(store, f"{name}:a", tiny_gguf, context=128 + 8 * number)
    monkeypatch.setattr("edgellm.server.models.room_maker.RoomMaker.__init__.__defaults__", (20.0,))
    config = ServerConfig(isolation="process", parallel=1, memory_budget_bytes=(96 + 230) << 20)  # two and a bit

    async def use(manager: ModelManager) -> None:
        over = asyncio.Event()
        watching = asyncio.ensure_future(_watch(manager, over))
        moving = asyncio.ensure_future(_move(manager, tmp_path, tiny_gguf, seed, over))
        done = await asyncio.gather(*(_client(manager, random.Random(100 * seed + n)) for n in range(CLIENTS)))
        over.set()
        await asyncio.gather(watching, moving)
        assert sum(done) >= CLIENTS * TURNS // 2, done  # most are answered: whoever waits is served in the end
        assert all(status.requests == 0 for status in await manager.statuses())
        for name in NAMES:
            await manager.pin(name, False)
            await manager.unload(name)

    run_with(tmp_path, use, config=config)


async def _client(manager: ModelManager, dice: random.Random) -> int:
    """Asks in many ways, and sometimes leaves; returns how often it was answered."""
    answered = 0
    for _ in range(TURNS):
        asked: dict[str, Any] = {
            "keep_alive_s": dice.choice((None, 0, 0.01, -1)),
            "context": dice.choice((None, None, 64, 192)),
        }
        request = asyncio.ensure_future(_request(manager, dice.choice(NAMES), asked))
        if dice.random() < 0.2:
            await asyncio.sleep(dice.random() * 0.3)
            request.cancel()
        try:
            answered += await request == 4
        except (asyncio.CancelledError, BusyError, DoesNotFitError):
            continue
    return answered


async def _request(manager: ModelManager, name: str, asked: dict[str, Any]) -> int:
    async with manager.use(name, **asked) as model:
        assert model.bundle.name == f"{name}:a"
        return await answer(model, SHORT)


async def _watch(manager: ModelManager, over: asyncio.Event) -> None:
    """What must hold at every moment."""
    while not over.is_set():
        there = manager._residents.in_memory()
        assert sum(resident.needed_bytes for resident in there) <= 230 << 20
        live = [resident.digest for resident in there if resident.state != "unloading"]
        assert len(live) == len(set(live))
        assert all(resident.users >= 0 for resident in there)
        await asyncio.sleep(0.002)


async def _move(manager: ModelManager, home: Path, model: Path, seed: int, over: asyncio.Event) -> None:
    """Pins, unloads, and names that move."""
    dice = random.Random(seed)
    store = open_store(home)
    pinned = False
    for number in range(8):
        if over.is_set():
            return
        await asyncio.sleep(dice.random() * 0.3)
        name = dice.choice(NAMES)
        match dice.randrange(3):
            case 0:
                pinned = not pinned
                await manager.pin("one", pinned)
            case 1:
                with contextlib.suppress(UsageError):  # it is pinned
                    await manager.unload(name)
            case 2:
                await asyncio.to_thread(add_bundle, store, f"{name}:a", model, context=160 + 8 * number)
