"""Names that move to other bundles while they are served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from model_rig import ENDLESS, add_bundle, answer, open_store, run_with, until

from edgellm.paths import user_paths
from edgellm.server.config import ServerConfig
from edgellm.server.http.concealing import Concealer
from edgellm.server.models.health import server_health
from edgellm.server.models.manager import ModelManager

CONCEAL = Concealer(user_paths({"EDGELLM_HOME": "/home/edge"}), Path("/home/edge/store"))


@pytest.fixture
def home(tmp_path: Path, tiny_gguf: Path) -> Path:
    add_bundle(open_store(tmp_path), "one:a", tiny_gguf)
    return tmp_path


def test_requests_after_a_move_have_the_new_bundle_and_those_before_finish(home: Path, tiny_gguf: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one") as former:
            digest = add_bundle(open_store(home), "one:a", tiny_gguf, context=200)
            async with manager.use("one") as model:
                assert (model.bundle.digest, model.context) == (digest, 200)
                assert await answer(former) == await answer(model) == 4
        await until(manager, lambda statuses: len(statuses) == 1 and statuses[0].digest == digest)

    run_with(home, use)


def test_where_memory_is_for_one_the_former_drains_first(home: Path, tiny_gguf: Path) -> None:
    async def need(manager: ModelManager) -> int:
        loaded = await manager.load("one")
        assert loaded.needed_bytes is not None
        return (await manager.room()).server_bytes + loaded.needed_bytes * 3 // 2

    config = ServerConfig(isolation="worker", parallel=1)
    budget = run_with(home, need, config=config)

    async def use(manager: ModelManager) -> None:
        await manager.pin("one", True)  # the pin is the name's: it does not keep the former bundle
        async with manager.use("one") as former:
            digest = add_bundle(open_store(home), "one:a", tiny_gguf, context=200)
            coming = asyncio.ensure_future(manager.load("one"))
            await until(manager, lambda statuses: any(each.state == "draining" for each in statuses))
            assert await answer(former) == 4
        assert (await coming).digest == digest
        (status,) = await manager.statuses()
        assert (status.digest, status.pinned) == (digest, True)

    run_with(home, use, config=ServerConfig(isolation="worker", parallel=1, memory_budget_bytes=budget))


@pytest.mark.parametrize("models", [1.5, 3.0], ids=["room for one", "room for both"])
def test_a_bundle_that_cannot_be_loaded_leaves_the_former_one_serving(
    home: Path, tiny_gguf: Path, models: float
) -> None:
    async def need(manager: ModelManager) -> int:
        loaded = await manager.load("one")
        assert loaded.needed_bytes is not None
        return (await manager.room()).server_bytes + round(loaded.needed_bytes * models)

    config = ServerConfig(isolation="worker", parallel=1)
    budget = run_with(home, need, config=config)
    broken = home / "broken.gguf"
    data = bytearray(tiny_gguf.read_bytes())
    place = data.index(b"blk.0.attn_q.weight")
    data[place : place + 19] = b"blk.0.attn_Q.weight"  # well-formed, and nothing that llama.cpp can load
    broken.write_bytes(data)

    async def use(manager: ModelManager) -> None:
        former = await manager.load("one")
        digest = add_bundle(open_store(home), "one:a", broken, context=200)
        for _ in range(2):
            async with manager.use("one") as model:
                assert model.bundle.digest == former.digest
                assert "cannot be loaded" in model.note
                assert await answer(model) == 4
        health = server_health(manager, CONCEAL)
        assert (health.status, health.state) == ("ok", "degraded")
        (problem,) = health.former_bundles
        assert (problem.name, problem.wanted_digest, problem.serving_digest) == ("one:a", digest, former.digest)
        assert problem.error
        # once the name means something that loads, all is well
        digest = add_bundle(open_store(home), "one:a", tiny_gguf, context=208)
        async with manager.use("one") as model:
            assert model.bundle.digest == digest
        assert server_health(manager, CONCEAL).state == "ok"

    run_with(home, use, config=ServerConfig(isolation="worker", parallel=1, memory_budget_bytes=budget))


def test_a_name_that_moves_to_a_loaded_bundle_lets_go_of_the_former(home: Path, tiny_gguf: Path) -> None:
    from edgellm.bundle.names import parse_name

    store = open_store(home)
    digest = add_bundle(store, "two:a", tiny_gguf, context=200)

    async def use(manager: ModelManager) -> None:
        await manager.load("one")
        await manager.load("two")
        store.copy("two:a", parse_name("one:a", default_tag="a"))
        async with manager.use("one") as model:
            assert model.bundle.digest == digest
        await until(manager, lambda statuses: [each.digest for each in statuses] == [digest])

    run_with(home, use)


def test_a_running_answer_of_a_former_bundle_is_not_cut(home: Path, tiny_gguf: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one") as former:
            running = asyncio.ensure_future(answer(former, ENDLESS))
            add_bundle(open_store(home), "one:a", tiny_gguf, context=200)
            await manager.load("one")
            assert not running.done()
            assert len(await manager.statuses()) == 2
            running.cancel()

    run_with(home, use)
