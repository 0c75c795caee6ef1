"""Workers that are killed while they answer."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from model_rig import ENDLESS, add_bundle, answer, open_store, run_with, until

from edgellm.errors import BackendError, EdgeLLMError
from edgellm.paths import user_paths
from edgellm.server.http.concealing import Concealer
from edgellm.server.models.health import server_health
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.models.manager import ModelManager
from edgellm_runtimes.watch_policy import WatchPolicy
from worker_rig import QUICK_RESTARTS

KILLS = 20
STREAMS = 3

CONCEAL = Concealer(user_paths({"EDGELLM_HOME": "/home/edge"}), Path("/home/edge/store"))


def test_a_killed_worker_loses_its_requests_in_flight_and_nothing_else(
    tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgellm_runtimes.worker.core.RestartPolicy", lambda: QUICK_RESTARTS)
    store = open_store(tmp_path)
    add_bundle(store, "one:a", tiny_gguf)
    add_bundle(store, "two:a", tiny_gguf, context=256)

    async def stream(model: LoadedModel, begun: asyncio.Event) -> None:
        async for _chunk in model.engine.generate("Once upon a time", options=ENDLESS):
            begun.set()

    async def use(manager: ModelManager) -> None:
        async with manager.use("two") as bystander:
            begun = asyncio.Event()
            unharmed = asyncio.ensure_future(stream(bystander, begun))
            await begun.wait()
            for _ in range(KILLS):
                async with manager.use("one") as model:
                    starts = [asyncio.Event() for _ in range(STREAMS)]
                    lost = [asyncio.ensure_future(stream(model, start)) for start in starts]
                    await asyncio.gather(*(start.wait() for start in starts))
                    pid = model.engine.status().pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
                    for error in await asyncio.gather(*lost, return_exceptions=True):
                        assert isinstance(error, BackendError)
                        assert "SIGKILL" in error.message
                async with manager.use("one") as model:  # what comes next starts it again
                    assert await answer(model) == 4
                assert not unharmed.done()
            unharmed.cancel()
        (one,) = (status for status in await manager.statuses() if status.name == "one:a")
        assert (one.starts, one.state, one.requests) == (KILLS + 1, "ready", 0)

    run_with(tmp_path, use)


def test_what_is_told_of_a_worker_that_cannot_come_back_names_no_path(
    tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgellm_runtimes.worker.core.RestartPolicy", lambda: QUICK_RESTARTS)
    store = open_store(tmp_path)
    add_bundle(store, "one:a", tiny_gguf)

    async def use(manager: ModelManager) -> None:
        pid = (await manager.load("one")).pid
        assert pid is not None
        max((tmp_path / "store" / "blobs" / "sha256").iterdir(), key=lambda blob: blob.stat().st_size).unlink()
        os.kill(pid, signal.SIGKILL)
        await until(manager, lambda statuses: statuses[0].state == "restarting")
        async with manager.use("one") as model:
            with pytest.raises(EdgeLLMError):
                await answer(model)
            assert str(tmp_path) in str(model.engine.status().last_error)
        (status,) = await manager.statuses()
        (stopped,) = server_health(
            manager, Concealer(user_paths({"EDGELLM_HOME": str(tmp_path)}), store.root)
        ).stopped_workers
        for told in (status.last_error, stopped.error):
            assert told is not None
            assert str(tmp_path) not in told

    run_with(tmp_path, use)


def test_health_says_that_a_worker_is_down_and_when_it_may_come_back(tmp_path: Path, tiny_gguf: Path) -> None:
    add_bundle(open_store(tmp_path), "one:a", tiny_gguf)

    async def use(manager: ModelManager) -> None:
        pid = (await manager.load("one")).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(manager, lambda statuses: statuses[0].state == "restarting")
        health = server_health(manager, CONCEAL)
        assert (health.status, health.state) == ("ok", "degraded")
        (stopped,) = health.stopped_workers
        assert stopped.name == "one:a"
        assert "SIGKILL" in str(stopped.error)

    run_with(tmp_path, use)


def test_health_says_that_a_worker_does_not_get_on(
    tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = WatchPolicy(interval_s=0.05, least_s=20.0, most_s=20.0)  # told of after a fifth of it
    monkeypatch.setattr("edgellm_runtimes.worker.core.WatchPolicy", lambda: policy)
    add_bundle(open_store(tmp_path), "one:a", tiny_gguf)

    async def use(manager: ModelManager) -> None:
        pid = (await manager.load("one")).pid
        assert pid is not None
        async with manager.use("one") as model:
            assert await answer(model) == 4
            os.kill(pid, signal.SIGSTOP)
            try:
                waiting = asyncio.ensure_future(answer(model))
                await until(manager, lambda statuses: bool(server_health(manager, CONCEAL).stuck_models))
                health = server_health(manager, CONCEAL)
                (status,) = await manager.statuses()
            finally:
                os.kill(pid, signal.SIGCONT)
            assert (health.status, health.state) == ("ok", "degraded")
            assert health.stuck_models[0].name == "one:a"
            assert health.stuck_models[0].silent_s >= 4.0
            assert (status.silent_s or 0) >= 4.0
            assert await waiting == 4
            await until(manager, lambda statuses: statuses[0].silent_s == 0.0)
            assert not server_health(manager, CONCEAL).stuck_models

    run_with(tmp_path, use)
