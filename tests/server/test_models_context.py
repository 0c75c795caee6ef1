"""Requests for another context than the loaded one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from model_rig import add_bundle, answer, open_store, run_with

from edgellm.errors import UsageError
from edgellm.server.models.manager import ModelManager


@pytest.fixture
def home(tmp_path: Path, tiny_gguf: Path) -> Path:
    add_bundle(open_store(tmp_path), "one:a", tiny_gguf)
    return tmp_path


def test_a_smaller_context_is_served_by_the_one_that_is_there(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one", context=32) as model:
            assert (model.context, model.note) == (128, "")
            pid = model.engine.status().pid
        async with manager.use("one", context=64) as model:
            assert model.engine.status().pid == pid

    run_with(home, use)


def test_a_larger_context_loads_again_once_and_stays(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one", keep_alive_s=77) as first:
            assert first.context == 128
        engines = set()
        for context in (256, 128, 256, None, 200):
            async with manager.use("one", context=context) as model:
                assert (model.context, model.note) == (256, "")
                assert await answer(model) == 4
                engines.add(model.engine.status().pid)
        assert len(engines) == 1

    run_with(home, use)


def test_a_model_in_use_is_not_loaded_again_and_the_request_is_told(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one") as model, manager.use("one", context=256) as other:
            assert other.engine is model.engine
            assert other.context == 128
            assert "256 was asked for; it is 128" in other.note

    run_with(home, use)


def test_two_requests_for_a_larger_one_load_once(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        await manager.load("one")

        async def request(context: int) -> tuple[int, int | None]:
            async with manager.use("one", context=context) as model:
                return model.context, model.engine.status().pid

        found = await asyncio.gather(request(192), request(256), request(224))
        assert {context for context, _pid in found} == {256}
        assert len(set(found)) == 1

    run_with(home, use)


def test_no_more_than_the_model_was_trained_for(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        async with manager.use("one", context=1 << 20) as model:
            assert model.context == 512
            assert "trained for 512" in model.note
            pid = model.engine.status().pid
        async with manager.use("one", context=1 << 20) as model:
            assert model.engine.status().pid == pid

    run_with(home, use)


def test_no_context_is_an_error(home: Path) -> None:
    async def use(manager: ModelManager) -> None:
        with pytest.raises(UsageError, match="at least 1"):
            async with manager.use("one", context=0):
                pass

    run_with(home, use)
