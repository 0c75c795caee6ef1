"""Models within a memory budget: who goes, who stays, who waits, what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from model_rig import ENDLESS, add_bundle, answer, open_store, run_with, states, until

from edgellm.errors import BusyError, DoesNotFitError
from edgellm.server.config import ServerConfig
from edgellm.server.models.manager import ModelManager
from edgellm_runtimes.heap import trim_heap
from heap_parts import anonymous_bytes, leave_holes

MIB = 1 << 20


@pytest.fixture
def home(tmp_path: Path, tiny_gguf: Path) -> Path:
    """A store with four bundles of about the same need."""
    store = open_store(tmp_path)
    for number, name in enumerate(("one", "two", "three", "four")):
        add_bundle(store, f"{name}:a", tiny_gguf, context=256 - 8 * number)
    return tmp_path


def for_models(home: Path, count: float) -> ServerConfig:
    """A budget that ``count`` of them fit into, each alone with its requests."""

    async def measure(manager: ModelManager) -> int:
        need = (await manager.load("one")).needed_bytes
        trim_heap()  # so that none of what tests before this one left counts as the server's
        room = await manager.room()
        assert need is not None
        return room.server_bytes + round(count * need)

    budget = run_with(home, measure, config=ServerConfig(isolation="worker", parallel=1))
    return ServerConfig(isolation="worker", parallel=1, memory_budget_bytes=budget)


def test_the_least_recently_used_idle_model_goes(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        for name in ("one", "two", "one", "three"):
            await manager.load(name)
        assert await states(manager) == {"one:a": "ready", "three:a": "ready"}

    run_with(home, use, config=for_models(home, 2.5))


def test_a_pinned_model_does_not_go(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        await manager.pin("one", True)
        for name in ("one", "two", "three"):
            await manager.load(name)
        assert await states(manager) == {"one:a": "ready", "three:a": "ready"}

    run_with(home, use, config=for_models(home, 2.5))


def test_a_model_in_use_is_waited_for_and_loses_nothing(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one") as model:
            waiting = asyncio.ensure_future(manager.load("two"))
            await until(manager, lambda statuses: any(each.state == "draining" for each in statuses))
            late = asyncio.ensure_future(manager.load("one"))  # joins no model that is to go
            assert await answer(model) == 4
            assert not waiting.done()
        assert (await waiting).state == "ready"
        assert (await late).starts == 1
        assert await states(manager) == {"one:a": "ready"}

    run_with(home, use, config=for_models(home, 1.5))


def test_a_model_that_is_never_free_is_waited_for_so_long_and_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgellm.server.models.room_maker.RoomMaker.__init__.__defaults__", (0.3,))

    async def use(manager: ModelManager) -> None:
        async with manager.use("one") as model:
            running = asyncio.ensure_future(answer(model, ENDLESS))
            with pytest.raises(BusyError, match=r"two:a .* needs .* requests use them") as refused:
                await manager.load("two")
            assert "try again" in str(refused.value.hint)
            running.cancel()
        assert await states(manager) == {"one:a": "ready"}

    run_with(home, use, config=for_models(home, 1.5))


def test_what_cannot_fit_is_refused_with_numbers_and_the_way_out_and_nothing_goes(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        for name in ("one", "two"):
            await manager.pin(name, True)
            await manager.load(name)
        with pytest.raises(DoesNotFitError, match=r"context of 240 needs [\d.]+ MiB; models may take") as refused:
            await manager.load("three")
        assert "pinned (one:a, two:a)" in refused.value.message
        for way in ("let go of a pinned model", "raise memory_budget", "smaller recipe", "force"):
            assert way in str(refused.value.hint)
        assert await states(manager) == {"one:a": "ready", "two:a": "ready"}

    run_with(home, use, config=for_models(home, 2.5))


def test_force_loads_what_does_not_fit(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        with pytest.raises(DoesNotFitError):
            await manager.load("one")
        assert (await manager.load("one", force=True)).state == "ready"

    run_with(home, use, config=for_models(home, 0.5))


def test_more_answers_at_a_time_where_there_is_memory_for_them(home: Path) -> None:
    async def sequences(manager: ModelManager) -> int | None:
        return (await manager.load("one")).sequences

    tight = for_models(home, 1.2)
    wide = ServerConfig(isolation="worker", memory_budget_bytes=4096 * MIB)
    chosen = ServerConfig(isolation="worker", memory_budget_bytes=4096 * MIB, parallel=3)
    at_least = ServerConfig(isolation="worker", memory_budget_bytes=tight.memory_budget_bytes, parallel=64)
    assert run_with(home, sequences, config=wide) == 4
    assert run_with(home, sequences, config=chosen) == 3
    assert run_with(home, sequences, config=at_least) in range(1, 64)
    tight = ServerConfig(isolation="worker", memory_budget_bytes=tight.memory_budget_bytes, parallel=0)
    assert run_with(home, sequences, config=tight) == 1


def test_what_the_heap_holds_for_nothing_refuses_no_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(manager: ModelManager) -> None:
        needed = (await manager.load("one")).needed_bytes
        assert needed is not None
        assert await manager.unload("one")
        trim_heap()
        clean = anonymous_bytes()
        leave_holes(64 * MIB)
        monkeypatch.setattr(
            "edgellm.devices.local.available_memory_bytes",
            lambda: needed + clean + 32 * MIB - anonymous_bytes(),  # of a machine that this process has for itself
        )
        assert (await manager.room()).left_bytes < needed
        assert (await manager.load("one")).state == "ready"

    run_with(home, use, config=ServerConfig(isolation="worker", parallel=1, memory_budget_bytes=4096 * MIB))
