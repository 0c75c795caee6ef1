"""Loading on demand: names, sharing, keep-alive, pins."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import msgspec
import pytest
from model_rig import ENDLESS, add_bundle, answer, open_store, plan_of, run_with, states, until

from edgellm.bundle.plan import ModelSource
from edgellm.errors import NotFoundError, UsageError
from edgellm.server.config import ServerConfig
from edgellm.server.models.manager import ModelManager
from edgellm.server.models.unwanted import Unwanted


@pytest.fixture
def home(tmp_path: Path, tiny_gguf: Path) -> Path:
    """A store with two bundles of one model."""
    store = open_store(tmp_path)
    add_bundle(store, "one:a", tiny_gguf)
    add_bundle(store, "two:a", tiny_gguf, context=256)
    return tmp_path


def test_many_requests_at_once_load_a_model_once(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async def request() -> int | None:
            async with manager.use("one") as model:
                await answer(model)
                return model.engine.status().pid

        pids = await asyncio.gather(*(request() for _ in range(8)))
        assert len(set(pids)) == 1
        (status,) = await manager.statuses()
        assert (status.starts, status.requests, status.state) == (1, 0, "ready")

    run_with(home, use)


@pytest.mark.parametrize("name", ["one", "one:a", "one:latest", "ONE:Latest"])
def test_a_name_may_be_said_as_clients_of_ollama_do(home: Path, name: str) -> None:
    async def use(manager: ModelManager) -> str:
        return (await manager.resolve(name)).name

    assert run_with(home, use) == "one:a"


def test_a_tag_latest_that_is_there_is_meant(home: Path, tiny_gguf: Path) -> None:
    add_bundle(open_store(home), "one:latest", tiny_gguf, context=192)

    async def use(manager: ModelManager) -> str:
        return (await manager.resolve("one:latest")).name

    assert run_with(home, use) == "one:latest"


@pytest.mark.parametrize("name", ["acme/small", "hf.co/Acme/Small:latest", "acme/small:Q4_K_M"])
def test_a_hubs_name_means_what_was_packed_from_it_for_this_device(home: Path, tiny_gguf: Path, name: str) -> None:
    source = ModelSource(
        "gguf", "Acme/Small", "llama", {"m.gguf": "sha256:" + "4" * 64}, "abc", "https://hub/Acme/Small"
    )
    add_bundle(open_store(home), "small:pi", tiny_gguf, source=source)

    async def use(manager: ModelManager) -> str:
        return (await manager.resolve(name)).name

    assert run_with(home, use, EDGELLM_DEVICE="raspberrypi5") == "small:pi"
    with pytest.raises(NotFoundError):
        run_with(home, use, EDGELLM_DEVICE="raspberrypi4")


def test_a_name_without_a_tag_means_the_bundle_for_this_device(home: Path, tiny_gguf: Path) -> None:
    pi4 = msgspec.structs.replace(plan_of().target, id="raspberrypi4")
    add_bundle(open_store(home), "one:b", tiny_gguf, target=pi4)

    async def use(manager: ModelManager) -> str:
        return (await manager.resolve("one:latest")).name

    assert run_with(home, use, EDGELLM_DEVICE="raspberrypi5") == "one:a"
    assert run_with(home, use, EDGELLM_DEVICE="raspberrypi4") == "one:b"
    with pytest.raises(UsageError, match="one:a, one:b"):
        run_with(home, use, EDGELLM_DEVICE="intel-n100")


def test_an_unknown_name_is_not_found(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        with pytest.raises(NotFoundError, match="three"):
            async with manager.use("three"):
                pass

    run_with(home, use)


def test_a_bundle_under_two_names_is_one_engine(home: Path) -> None:
    from edgellm.bundle.names import BundleName

    open_store(home).copy("one:a", BundleName("alias", "b"))

    async def use(manager: ModelManager) -> None:
        async with manager.use("one") as first, manager.use("alias") as second:
            assert first.engine is second.engine
            assert (first.name, second.name) == ("one:a", "alias:b")
        (status,) = await manager.statuses()
        assert status.names == ("alias:b", "one:a")

    run_with(home, use)


def test_a_model_goes_when_its_time_is_over_and_not_while_it_is_used(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one", keep_alive_s=0.05) as model:
            await asyncio.sleep(0.2)
            assert await answer(model) == 4
        await until(manager, lambda statuses: not statuses)

    run_with(home, use)


def test_keep_alive_zero_unloads_after_the_last_request(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one", keep_alive_s=-1), manager.use("one", keep_alive_s=0):
            assert await states(manager) == {"one:a": "ready"}
        await until(manager, lambda statuses: not statuses)

    run_with(home, use)


def test_below_zero_keeps_for_ever(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one", keep_alive_s=-1):
            pass
        (status,) = await manager.statuses()
        assert status.expires_in_s is None
        assert status.keep_alive_s == -1

    run_with(home, use, config=ServerConfig(isolation="worker", keep_alive_s=0))


def test_unload_waits_for_requests_and_takes_no_model_from_them(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one") as model:
            assert await manager.unload("one") is False
            assert await answer(model) == 4
        await until(manager, lambda statuses: not statuses)
        async with manager.use("one"):
            pass
        assert await manager.unload("one") is True
        assert await manager.statuses() == []
        assert await manager.unload("two") is True  # that was never loaded

    run_with(home, use)


def test_a_pinned_model_stays_over_restarts_until_it_is_let_go(home: Path) -> None:
    config = ServerConfig(isolation="worker", keep_alive_s=0)

    async def pin(manager: ModelManager) -> None:
        assert await manager.pin("one", True) == "one:a"
        async with manager.use("one"):
            pass
        assert await states(manager) == {"one:a": "ready"}
        with pytest.raises(UsageError, match="pinned"):
            await manager.unload("one")

    run_with(home, pin, config=config)

    async def restarted(manager: ModelManager) -> None:
        await manager.load_pinned()
        (status,) = await manager.statuses()
        assert (status.name, status.pinned) == ("one:a", True)
        await manager.pin("one", False)
        await until(manager, lambda statuses: not statuses)

    run_with(home, restarted, config=config)


def test_a_load_that_is_not_wanted_any_more_answers_those_who_wait_and_goes(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        loading = asyncio.ensure_future(manager.load("one"))
        await until(manager, lambda statuses: statuses)

        async def ask() -> int:
            async with manager.use("one") as model:
                return await answer(model)

        asking = asyncio.ensure_future(ask())
        await until(manager, lambda statuses: statuses[0].requests == 2)
        assert (await manager.statuses())[0].state == "loading"
        assert await manager.unload("one") is False
        assert await asking == 4
        with contextlib.suppress(UsageError):  # it saw the model before the other one let it go
            await loading
        await until(manager, lambda statuses: not statuses)
        assert (await manager.load("one")).state == "ready"

    run_with(home, use)


def test_a_pinned_model_is_not_let_go_while_it_loads(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        await manager.pin("one", True)
        loading = asyncio.ensure_future(manager.load("one"))
        await until(manager, lambda statuses: statuses)
        assert (await manager.statuses())[0].state == "loading"
        with pytest.raises(UsageError, match="one:a is pinned"):
            await manager.unload("one")
        status = await loading
        assert (status.state, status.keep_alive_s) == ("ready", manager.policy.keep_alive_s)

    run_with(home, use)


@pytest.mark.parametrize("keep_alive_s", [None, 0])
def test_a_load_for_no_time_says_so(home: Path, keep_alive_s: float | None) -> None:
    async def use(manager: ModelManager) -> None:
        with pytest.raises(UsageError, match="unloaded at once: keep_alive is 0"):
            await manager.load("one", keep_alive_s=keep_alive_s)

    run_with(home, use, config=ServerConfig(isolation="worker", keep_alive_s=0))


def test_what_was_said_of_a_load_counts_for_those_who_waited_and_ends_with_them() -> None:
    unwanted = Unwanted()
    unwanted.say("nobody waits")
    assert len(unwanted) == 0
    came = time.monotonic()
    with unwanted.waiting("a", came) as first, unwanted.waiting("b", came) as other:
        with unwanted.waiting("a", came) as second:
            assert not first()
            unwanted.say("a")
            assert second()
        with unwanted.waiting("a", time.monotonic() + 1) as later:
            assert not later()
        assert first()
        assert not other()
    assert len(unwanted) == 0


def test_a_client_that_leaves_stops_a_load_that_nobody_else_wants(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        waiting = asyncio.ensure_future(manager.load("one"))
        await until(manager, lambda statuses: statuses)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(manager, lambda statuses: not statuses)
        assert (await manager.load("one")).state == "ready"

    run_with(home, use)


def test_a_client_that_leaves_does_not_stop_the_load_of_another(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        leaving = asyncio.ensure_future(manager.load("one"))
        staying = asyncio.ensure_future(manager.load("one"))
        await until(manager, lambda statuses: statuses and statuses[0].requests == 2)
        leaving.cancel()
        status = await staying
        assert (status.starts, status.requests) == (1, 0)

    run_with(home, use)


def test_progress_of_a_load_is_seen(home: Path) -> None:
    async def use(manager: ModelManager) -> set[str]:
        loading = asyncio.ensure_future(manager.load("one"))
        seen = set()
        while not loading.done():
            seen |= {each.progress.phase for each in await manager.statuses() if each.progress is not None}
            await asyncio.sleep(0)
        await loading
        return seen

    assert run_with(home, use) >= {"waiting", "starting"}


def test_a_removed_name_is_not_found_and_its_requests_finish(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one") as model:
            open_store(home).remove("one:a")
            with pytest.raises(NotFoundError):
                await manager.resolve("one")
            assert await answer(model) == 4

    run_with(home, use)


def test_an_answer_that_is_under_way_ends_with_the_server(home: Path) -> None:
    from edgellm.errors import BackendError

    async def use(manager: ModelManager) -> None:
        async with manager.use("one") as model:
            running = asyncio.ensure_future(answer(model, ENDLESS))
            await until(manager, lambda statuses: statuses[0].requests == 1)
            await manager.close()
            with pytest.raises(BackendError):
                await running
            with pytest.raises(BackendError, match="stopping"):
                await manager.load("two")

    run_with(home, use)
