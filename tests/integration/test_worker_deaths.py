"""What dies takes nothing else along: the worker its requests, the parent its worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgellm.errors import BackendError, BusyError, EdgeLLMError, NotFoundError
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import Chunk, GenerationOptions
from edgellm_runtimes.sampling import SamplingParams
from edgellm_runtimes.worker.restart import RestartPolicy
from worker_rig import (
    PROMPT,
    QUICK_RESTARTS,
    Listener,
    collect,
    cpu_seconds,
    descriptors,
    error_of,
    ids_of,
    is_gone,
    request_for,
    wait_for_tokens,
    wait_until,
    with_worker,
    worker_pid,
)

PARENT = Path(__file__).resolve().parent.parent / "worker_parent.py"
SOON_S = 3.0  # the promise is one second; a busy machine gets three


def test_a_worker_killed_in_a_stream_fails_its_requests_and_the_next_starts_another(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        before = await collect(engine, PROMPT)
        first = worker_pid(engine)
        tasks = [asyncio.create_task(error_of(engine)) for _ in range(3)]
        await wait_for_tokens(engine)
        os.kill(first, signal.SIGKILL)
        for error in await asyncio.gather(*tasks):
            assert "SIGKILL" in error.message
            assert tiny_gguf.name in error.message
            assert "memory ran out" in (error.hint or "")
        assert engine.status().state == "stopped"
        assert engine.status().pid is None
        assert "SIGKILL" in (engine.status().last_error or "")
        assert not psutil.pid_exists(first)
        assert ids_of(await collect(engine, PROMPT)) == ids_of(before)
        assert worker_pid(engine) != first
        assert (engine.status().state, engine.status().starts) == ("running", 2)

    with_worker(tiny_gguf, use, QUICK_RESTARTS, context=512, sequences=4)


def test_another_engine_does_not_notice(tiny_gguf: Path) -> None:
    async def main() -> tuple[list[Chunk], int]:
        dying, other = [await Engine.load(request_for(tiny_gguf, context=512), isolation="worker") for _ in range(2)]
        async with dying, other:
            task = asyncio.create_task(
                collect(other, PROMPT, SamplingParams(temperature=0, max_tokens=200, ignore_eos=True))
            )
            await wait_for_tokens(other)
            os.kill(worker_pid(dying), signal.SIGKILL)
            return await task, other.status().starts

    chunks, starts = asyncio.run(main())
    assert len(ids_of(chunks)) == 200
    assert starts == 1


def test_an_assertion_in_native_code_is_an_error_with_its_reason(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from edgellm_runtimes.llama_cpp import model\n"
        "from edgellm_runtimes.llama_cpp.batch import BatchArrays\n"
        "model.hidden_rows = lambda settings, n_vocab: 1\n"
        "fill = BatchArrays.fill\n"
        "def lie(self, slices, lengths):\n"
        "    count = fill(self, slices, lengths)\n"
        "    if count == 13:\n"
        "        self.outputs[:13] = 1  # llama.cpp gives up on more rows of logits than it was told of\n"
        "    return count\n"
        "BatchArrays.fill = lie\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def use(engine: Engine) -> None:
        assert len(await collect(engine, [5] * 12)) == 24
        error = await error_of(engine, [7] * 13)
        assert "SIGABRT" in error.message
        assert "GGML_ASSERT" in error.message
        assert "starts it again" in (error.hint or "")
        assert len(await collect(engine, [5] * 12)) == 24

    with_worker(tiny_gguf, use, QUICK_RESTARTS)


def test_twenty_kills_under_load_lose_only_what_was_in_flight(tiny_gguf: Path) -> None:
    kills = 20

    async def use(engine: Engine) -> None:
        expected = ids_of(await collect(engine, PROMPT))
        open_before = len(descriptors())
        killed: list[int] = []
        over = asyncio.Event()
        outcomes: list[EdgeLLMError | list[int]] = []

        async def keep_asking() -> None:
            while not over.is_set():
                try:
                    outcomes.append(ids_of(await collect(engine, PROMPT)))
                except BackendError as error:
                    outcomes.append(error)

        askers = [asyncio.create_task(keep_asking()) for _ in range(6)]
        while len(killed) < kills:
            n_before = len(outcomes)
            while len(outcomes) < n_before + 3 or engine.status().pid in (None, *killed[-1:]):
                await asyncio.sleep(0.001)
            killed.append(worker_pid(engine))
            os.kill(killed[-1], signal.SIGKILL)
        over.set()
        await asyncio.gather(*askers)
        assert ids_of(await collect(engine, PROMPT)) == expected
        assert len(set(killed)) == kills
        assert all(outcome == expected for outcome in outcomes if isinstance(outcome, list))
        failures = [outcome for outcome in outcomes if isinstance(outcome, EdgeLLMError)]
        assert kills <= len(failures) <= kills * len(askers)
        assert all("SIGKILL" in failure.message for failure in failures)
        assert len(descriptors()) == open_before
        assert not any(psutil.pid_exists(pid) for pid in killed)

    with_worker(tiny_gguf, use, QUICK_RESTARTS, sequences=4)


def test_all_who_wait_for_a_restart_wait_for_the_same(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        os.kill(worker_pid(engine), signal.SIGKILL)
        while engine.status().state == "running":
            await asyncio.sleep(0.001)
        answers = [asyncio.create_task(collect(engine, PROMPT)) for _ in range(40)]
        while engine.status().state != "loading":
            await asyncio.sleep(0.001)
        answers[0].cancel()
        assert await asyncio.to_thread(lambda: engine.status().state) == "loading"  # no thread of the loop's is taken
        assert all(len(ids_of(answer)) == 24 for answer in await asyncio.gather(*answers[1:]))
        assert engine.status().starts == 2

    with_worker(tiny_gguf, use, QUICK_RESTARTS, sequences=4)


def test_a_restart_ends_with_the_engine(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        os.kill(worker_pid(engine), signal.SIGKILL)
        while engine.status().state == "running":
            await asyncio.sleep(0.001)
        answer = asyncio.create_task(collect(engine, PROMPT))
        while engine.status().state != "loading":
            await asyncio.sleep(0.001)
        await engine.close()
        with pytest.raises(BackendError, match="closed"):
            await answer
        assert engine.status().state == "closed"

    with_worker(tiny_gguf, use, QUICK_RESTARTS)


def test_restarts_wait_longer_each_time_and_say_so(tiny_gguf: Path) -> None:
    policy = RestartPolicy(first_s=1000.0, longest_s=10_000.0)

    async def use(engine: Engine) -> None:
        pid = worker_pid(engine)
        os.kill(pid, signal.SIGKILL)
        while engine.status().state == "running":
            await asyncio.sleep(0.001)
        with pytest.raises(BusyError, match=r"SIGKILL.*starts again in \d+\.\d s") as caught:
            await collect(engine, PROMPT)
        assert "try again in" in (caught.value.hint or "")
        with pytest.raises(BusyError):
            engine.tokenize("x")
        status = engine.status()
        assert (status.state, status.pid, status.starts) == ("stopped", None, 1)
        assert 900 < status.retry_in_s <= 1000

    with_worker(tiny_gguf, use, policy)


def test_a_worker_that_dies_while_it_loads_is_an_error_of_loading(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killing(Listener):
        def phase(self, name: str, total_bytes: int | None = None) -> None:
            [child] = set(psutil.Process().children()) - before
            child.kill()

    before = set(psutil.Process().children())
    with pytest.raises(BackendError, match="SIGKILL"):
        asyncio.run(Engine.load(request_for(tiny_gguf), isolation="worker", progress=Killing()))
    assert set(psutil.Process().children()) <= before


def test_a_worker_that_cannot_come_up_says_why(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'edgellm_runtimes.worker' in sys.orig_argv:\n    raise SystemExit('no such luck')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BackendError, match=r"status 1: .*no such luck"):
        asyncio.run(Engine.load(request_for(tiny_gguf), isolation="worker"))


def test_a_model_that_is_gone_at_the_restart_may_come_back(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf.read_bytes())

    async def use(engine: Engine) -> None:
        path.unlink()
        os.kill(worker_pid(engine), signal.SIGKILL)
        while engine.status().state == "running":
            await asyncio.sleep(0.001)
        with pytest.raises(NotFoundError, match=r"model\.gguf"):
            await collect(engine, PROMPT)
        assert (engine.status().state, engine.status().starts) == ("stopped", 2)
        path.write_bytes(tiny_gguf.read_bytes())
        while engine.status().retry_in_s:
            await asyncio.sleep(0.001)
        assert len(ids_of(await collect(engine, PROMPT))) == 24

    with_worker(path, use, RestartPolicy(first_s=1e-3, longest_s=1e-3))


def test_a_worker_does_not_end_by_the_signals_of_a_service_manager_or_a_terminal(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(worker_pid(engine), number)
        assert len(ids_of(await collect(engine, PROMPT))) == 24
        assert engine.status().starts == 1

    with_worker(tiny_gguf, use)


@contextlib.contextmanager
def parent_of_a_worker(path: Path, context: int, mode: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, str(PARENT), str(path), str(context), mode]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        try:
            yield parent, worker
        finally:
            parent.kill()
            wait_until(lambda: is_gone(worker))


def ends_soon(worker: int) -> bool:
    deadline = time.monotonic() + SOON_S
    while not is_gone(worker) and time.monotonic() < deadline:
        time.sleep(0.005)
    return is_gone(worker)


@pytest.mark.parametrize("mode", ["idle", "stream"])
def test_a_worker_ends_with_its_parent(tiny_gguf: Path, mode: str) -> None:
    with parent_of_a_worker(tiny_gguf, 512, mode) as (parent, worker):
        if mode == "stream":
            begun = cpu_seconds(worker)
            wait_until(lambda: cpu_seconds(worker) > begun + 0.2)
        parent.kill()
        assert ends_soon(worker)


def test_a_worker_ends_with_its_parent_in_the_middle_of_a_long_step(tiny_gguf: Path) -> None:
    with parent_of_a_worker(tiny_gguf, 16384, "prefill") as (parent, worker):
        begun = cpu_seconds(worker)
        wait_until(lambda: cpu_seconds(worker) > begun + 1.0)
        parent.kill()
        assert ends_soon(worker)


def test_a_worker_ends_with_its_parent_while_native_code_keeps_the_interpreter(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes, signal, sys\n"
        "from pathlib import Path\n"
        "def keep(*_):\n"
        f"    Path({str(tmp_path / 'kept')!r}).touch()\n"
        "    ctypes.PyDLL(None).sleep(600)\n"  # PyDLL does not release the lock
        "if 'edgellm_runtimes.worker' in sys.orig_argv:\n"
        "    signal.signal(signal.SIGUSR1, keep)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with parent_of_a_worker(tiny_gguf, 512, "lock") as (parent, worker):
        wait_until((tmp_path / "kept").exists)
        parent.kill()
        assert ends_soon(worker)


def test_a_stream_goes_on_while_options_are_wrong_elsewhere(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        task = asyncio.create_task(
            collect(engine, PROMPT, SamplingParams(temperature=0, max_tokens=100, ignore_eos=True))
        )
        await wait_for_tokens(engine)
        for options in (GenerationOptions(choices=2.5), GenerationOptions(stop=(b"x",))):  # type: ignore[arg-type]
            with pytest.raises(EdgeLLMError):
                await collect(engine, PROMPT, options=options)
        assert len(ids_of(await task)) == 100
        assert engine.status().starts == 1

    with_worker(tiny_gguf, use)
