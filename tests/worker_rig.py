"""What the tests of worker processes share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from edgellm.errors import BackendError
from edgellm.progress import SilentProgress
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import Chunk, GenerationOptions
from edgellm_runtimes.load import LoadRequest
from edgellm_runtimes.sampling import SamplingParams
from edgellm_runtimes.watch_policy import WatchPolicy
from edgellm_runtimes.worker.restart import RestartPolicy

__all__ = [
    "ENDLESS",
    "GREEDY",
    "PATIENCE_S",
    "PROMPT",
    "QUICK_RESTARTS",
    "Listener",
    "collect",
    "cpu_seconds",
    "descriptors",
    "error_of",
    "ids_of",
    "is_gone",
    "request_for",
    "text_of",
    "wait_for_tokens",
    "wait_until",
    "with_worker",
    "worker_pid",
]

T = TypeVar("T")

PATIENCE_S = 120.0
PROMPT = "Friends, Romans, countrymen, lend me your"
GREEDY = SamplingParams(temperature=0, max_tokens=24, seed=1)
ENDLESS = SamplingParams(temperature=0, ignore_eos=True)
QUICK_RESTARTS = RestartPolicy(first_s=0.0)


class Listener(SilentProgress):
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.phases: list[tuple[str, int | None]] = []
        self.loaded_bytes = 0

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        self.phases.append((name, total_bytes))

    def advance(self, size_bytes: int) -> None:
        self.loaded_bytes += size_bytes

    def message(self, text: str) -> None:
        self.messages.append(text)


def request_for(path: Path, **changes: Any) -> LoadRequest:
    """A small context; one thread, so that tests that run at once do not wait for each other's thread teams; an F32
    cache, so that what else is in a batch moves the logits too little for another token."""
    small = {"context": 256, "ubatch": 64, "threads": 1}
    exact = {"kv_type_k": "f32", "kv_type_v": "f32", "flash_attention": False}
    return LoadRequest(**{"model_path": path, **small, **exact, **changes})


def with_worker(
    path: Path,
    use: Callable[[Engine], Awaitable[T]],
    restart: RestartPolicy | None = None,
    watch: WatchPolicy | None = None,
    **changes: Any,
) -> T:
    """Run ``use`` on an engine whose model is in a worker of its own."""

    async def main() -> T:
        request = request_for(path, **changes)
        async with await Engine.load(request, isolation="worker", restart=restart, watch=watch) as engine:
            return await use(engine)

    return asyncio.run(main())


def worker_pid(engine: Engine) -> int:
    pid = engine.status().pid
    assert pid is not None
    return pid


async def error_of(engine: Engine, prompt: Any = PROMPT, params: SamplingParams = ENDLESS) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await collect(engine, prompt, params)
    return caught.value


async def wait_for_tokens(engine: Engine) -> None:
    while not (await engine.statistics()).generated_tokens:
        await asyncio.sleep(0.001)


async def collect(
    engine: Engine,
    prompt: str | Sequence[int],
    params: SamplingParams | None = GREEDY,
    options: GenerationOptions | None = None,
    **more: Any,
) -> list[Chunk]:
    if options is not None:
        params = None
    return [chunk async for chunk in engine.generate(prompt, params, options=options, **more)]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ids_of(chunks: list[Chunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


def is_gone(pid: int) -> bool:
    """True when the process has ended; one that nobody has asked for its exit status yet has."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def cpu_seconds(pid: int) -> float:
    """What the process has computed so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def descriptors() -> set[tuple[str, str]]:
    """The open descriptors of this process, and what each is of."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add((entry.name, str(entry.readlink())))
        except FileNotFoundError:
            continue  # the one that listed the folder
    return found


def wait_until(what: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Wait until ``what()`` is true."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
