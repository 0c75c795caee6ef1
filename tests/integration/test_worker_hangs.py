"""A worker that is alive and does nothing is ended, and what asked for it hears of it; a slow one is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgellm.errors import BackendError
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.sampling import SamplingParams
from edgellm_runtimes.watch_policy import WatchPolicy
from edgellm_runtimes.worker.watcher import Watcher
from worker_rig import (
    PATIENCE_S,
    PROMPT,
    QUICK_RESTARTS,
    collect,
    error_of,
    ids_of,
    is_gone,
    request_for,
    wait_for_tokens,
    wait_until,
    with_worker,
    worker_pid,
)

QUICK = WatchPolicy(interval_s=0.1, still_s=2.0)
PATIENT = WatchPolicy(interval_s=0.1, still_s=1000.0)
MARKED = 13  # tokens of a prompt in whose step the worker does what a test wants


@pytest.fixture(autouse=True)
def own_lease(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the models of other tests looks as if nothing was done."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does nothing while the block runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def do_in_a_step(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Workers do ``what`` on their decode thread in a step of MARKED tokens."""
    (folder / "sitecustomize.py").write_text(
        "import threading\n"
        "from edgellm_runtimes.llama_cpp.batch import BatchArrays\n"
        "fill = BatchArrays.fill\n"
        "def hang(self, slices, lengths):\n"
        "    count = fill(self, slices, lengths)\n"
        f"    if count == {MARKED}:\n"
        f"        {what}\n"
        "    return count\n"
        "BatchArrays.fill = hang\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_worker_that_is_stopped_under_load_fails_its_requests_and_the_next_ones_work(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        expected = ids_of(await collect(engine, PROMPT))
        first = worker_pid(engine)
        running = [asyncio.create_task(error_of(engine)) for _ in range(6)]  # two of them wait for a place
        await wait_for_tokens(engine)
        with stopped(first):
            late = asyncio.create_task(error_of(engine))  # the worker never reads that there is one
            for error in await asyncio.gather(*running, late):
                assert "was stopped by a signal" in error.message
                assert tiny_gguf.name in error.message
                assert "starts it again" in (error.hint or "")
        assert "stopped by a signal" in (engine.status().last_error or "")
        assert is_gone(first)
        answers = await asyncio.gather(*(collect(engine, PROMPT) for _ in range(6)))
        assert all(ids_of(answer) == expected for answer in answers)
        assert (engine.status().state, engine.status().starts) == ("running", 2)

    with_worker(tiny_gguf, use, QUICK_RESTARTS, QUICK, context=512, sequences=4)


@contextlib.contextmanager
def beyond_signals(pid: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process is, while the block runs, as one that waits in the kernel for a disk: it does nothing, and no signal
    ends it."""
    kept: list[subprocess.Popen[bytes]] = []
    with monkeypatch.context() as patch, stopped(pid):
        patch.setattr(subprocess.Popen, "kill", lambda process: kept.append(process))
        patch.setattr("edgellm_runtimes.worker.process._KILLED_S", 0.1)
        yield
        assert not is_gone(pid)
    for process in kept:  # it ends by itself, since its socket and its pipe were closed
        process.wait(PATIENCE_S)


def test_a_worker_that_cannot_be_ended_fails_all_who_wait_for_it(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(engine: Engine) -> None:
        first = worker_pid(engine)
        running = [asyncio.create_task(error_of(engine)) for _ in range(2)]
        await wait_for_tokens(engine)
        with beyond_signals(first, monkeypatch):
            calling = asyncio.create_task(error_of(engine, "a text that only the worker can cut into tokens"))
            async with asyncio.timeout(PATIENCE_S / 2):
                for error in await asyncio.gather(*running, calling):
                    assert "stopped by a signal" in error.message
                    assert f"process {first} cannot be ended" in error.message
                    assert "disk" in (error.hint or "")
            assert await asyncio.to_thread(engine.tokenize, PROMPT)
            assert engine.status().starts == 2
        assert ids_of(await collect(engine, PROMPT))

    with_worker(tiny_gguf, use, QUICK_RESTARTS, QUICK)


def test_a_worker_that_cannot_be_ended_does_not_hold_up_its_close(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgellm_runtimes.worker.connection._CLOSE_S", 0.1)

    async def main() -> None:
        engine = await Engine.load(request_for(tiny_gguf), isolation="worker", watch=PATIENT)
        waiting = asyncio.create_task(error_of(engine))
        await wait_for_tokens(engine)
        with beyond_signals(worker_pid(engine), monkeypatch):
            closing = asyncio.create_task(engine.close())
            async with asyncio.timeout(PATIENCE_S / 2):
                await asyncio.shield(closing)
            assert "closed" in (await waiting).message

    asyncio.run(main())


def test_another_model_is_served_while_one_hangs(tiny_gguf: Path) -> None:
    async def main() -> None:
        hanging = await Engine.load(request_for(tiny_gguf), isolation="worker", watch=PATIENT)
        other = await Engine.load(request_for(tiny_gguf, context=512), isolation="worker", watch=QUICK)
        async with hanging, other:
            pid = worker_pid(hanging)
            with stopped(pid):
                waiting = [asyncio.create_task(collect(hanging, PROMPT)) for _ in range(40)]
                waiting += [asyncio.create_task(collect(hanging, [5, 6])) for _ in range(3)]
                answer = await collect(other, PROMPT, SamplingParams(temperature=0, max_tokens=100, ignore_eos=True))
                assert len(ids_of(answer)) == 100
                with pytest.raises(BackendError, match="has not answered for 2 s"):
                    await hanging.statistics()
                assert hanging.status().silent_s > 0
            for chunks in await asyncio.gather(*waiting):  # a break harms nobody
                assert ids_of(chunks)
            assert (hanging.status().starts, other.status().starts) == (1, 1)

    asyncio.run(main())


def test_a_worker_that_was_stopped_without_work_is_found_with_the_next_request(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        with stopped(worker_pid(engine)):
            assert "stopped by a signal" in (await error_of(engine)).message
        assert ids_of(await collect(engine, PROMPT))

    with_worker(tiny_gguf, use, QUICK_RESTARTS, QUICK)


def test_a_worker_that_is_stopped_while_it_loads_again_is_given_up(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        others = set(psutil.Process().children())
        os.kill(worker_pid(engine), signal.SIGKILL)
        while engine.status().state == "running":
            await asyncio.sleep(0.001)
        answer = asyncio.create_task(error_of(engine))
        while not (started := set(psutil.Process().children()) - others):
            await asyncio.sleep(0.001)
        with stopped(started.pop().pid):
            assert "stopped by a signal" in (await answer).message
        assert engine.status().state == "stopped"
        assert ids_of(await collect(engine, PROMPT))

    with_worker(tiny_gguf, use, QUICK_RESTARTS, QUICK)


def test_a_decode_thread_that_waits_for_ever_is_found_though_its_process_answers(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_in_a_step(tmp_path, monkeypatch, "lock = threading.Lock(); lock.acquire(); lock.acquire()")

    async def use(engine: Engine) -> None:
        assert ids_of(await collect(engine, [5] * 12))
        hanging = asyncio.create_task(error_of(engine, [7] * MARKED))
        while not engine.status().silent_s:
            await asyncio.sleep(0.001)
        assert (await engine.statistics()).running == 1  # the rest of the worker is alive
        assert "did nothing" in (await hanging).message
        assert ids_of(await collect(engine, [5] * 12))
        assert engine.status().starts == 2

    with_worker(tiny_gguf, use, QUICK_RESTARTS, QUICK)


def test_a_step_that_computes_for_ever_is_given_up_in_the_end(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_in_a_step(tmp_path, monkeypatch, "while True: pass")
    limited = WatchPolicy(interval_s=0.1, still_s=1000.0, least_s=5.0, factor=20.0, most_s=60.0)

    async def use(engine: Engine) -> None:
        assert ids_of(await collect(engine, [5] * 12))
        hanging = asyncio.create_task(error_of(engine, [7] * MARKED))
        while not engine.status().is_stuck:
            await asyncio.sleep(0.001)
        assert "with one step" in (await hanging).message
        assert ids_of(await collect(engine, [5] * 12))
        assert not engine.status().is_stuck

    with_worker(tiny_gguf, use, QUICK_RESTARTS, limited)


def test_a_long_step_that_computes_is_not_ended(tiny_gguf: Path) -> None:
    tokens, strict = 4000, WatchPolicy(interval_s=0.02, still_s=0.2)

    async def use(engine: Engine) -> None:
        prompt = [5 + place % 100 for place in range(tokens)]
        assert len(ids_of(await collect(engine, prompt))) == 24
        statistics = await engine.statistics()
        assert statistics.longest_step_s > strict.still_s
        assert engine.status().starts == 1

    with_worker(tiny_gguf, use, watch=strict, context=4096, ubatch=4096, flash_attention=True, force=True)


def test_a_worker_that_waits_for_its_reader_is_not_hung() -> None:
    given_up: list[str] = []
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        return True

    policy = WatchPolicy(interval_s=0.005, still_s=0.05)
    with psutil.Popen(["sleep", "1000"]) as sleeper:  # does nothing, and answers nothing
        watcher = Watcher(sleeper.pid, policy, lambda: None, look, given_up.append)
        try:
            watcher.is_held_up = True
            watcher.awaited()
            wait_until(lambda: looks > 100)
            assert not given_up
            watcher.is_held_up = False
            wait_until(lambda: given_up)
            assert "did nothing" in given_up[0]
        finally:
            watcher.end()
            sleeper.kill()


def test_a_model_in_this_process_tells_that_it_does_not_get_on(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    go_on, decode = threading.Event(), LlamaBackend.decode
    monkeypatch.setattr("edgellm_runtimes.local_core._WATCH", WatchPolicy(least_s=0.5, factor=0.0, most_s=0.5))

    def wait(self: LlamaBackend, slices: object) -> object:
        if sum(len(slice_.tokens) for slice_ in slices) == MARKED:  # type: ignore[attr-defined]
            assert go_on.wait(120)
        return decode(self, slices)  # type: ignore[arg-type]

    monkeypatch.setattr(LlamaBackend, "decode", wait)

    async def main() -> None:
        async with await Engine.load(request_for(tiny_gguf)) as engine:
            assert engine.status().silent_s == 0.0
            hanging = asyncio.create_task(collect(engine, [7] * MARKED))
            while not engine.status().is_stuck:
                await asyncio.sleep(0.001)
            assert engine.status().silent_s >= 0.1
            go_on.set()
            assert ids_of(await hanging)
            while engine.status().silent_s:
                await asyncio.sleep(0.001)
            assert not engine.status().is_stuck

    asyncio.run(main())
