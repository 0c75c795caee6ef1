"""An engine whose model is in a worker process gives what one in this process gives, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from backends import model_bytes
from edgellm.errors import (
    BackendError,
    DoesNotFitError,
    EdgeLLMError,
    Interrupted,
    ModelFileError,
    NotFoundError,
    UsageError,
)
from edgellm.progress import CancelToken
from edgellm_runtimes.core import Delivery
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import Chunk, GenerationOptions, Request
from edgellm_runtimes.sampling import SamplingParams
from edgellm_runtimes.worker.core import WorkerCore
from worker_rig import (
    ENDLESS,
    GREEDY,
    PATIENCE_S,
    PROMPT,
    QUICK_RESTARTS,
    Listener,
    collect,
    cpu_seconds,
    descriptors,
    ids_of,
    is_gone,
    request_for,
    text_of,
    wait_until,
    with_worker,
)


def shown(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    """What a caller sees of each choice, apart from times and from how many tokens came at once, which time decides."""
    answers = []
    for choice in sorted({chunk.choice for chunk in chunks}):
        own = [chunk for chunk in chunks if chunk.choice == choice]
        last, logprobs = own[-1], [entry for chunk in own for entry in chunk.logprobs]
        assert last.stats is not None
        counts = (last.stats.prompt_tokens, last.stats.generated_tokens, last.stats.cached_tokens, last.stats.seed)
        answers.append((text_of(own), ids_of(own), logprobs, last.finish_reason, last.stop_string, counts))
    return answers


def in_both(path: Path, use: Any, **changes: Any) -> tuple[Any, Any]:
    """What ``use`` gives with the model in this process, and with it in a worker."""

    async def main(isolation: Any) -> Any:
        async with await Engine.load(request_for(path, **changes), isolation=isolation) as engine:
            return await use(engine)

    return asyncio.run(main("process")), asyncio.run(main("worker"))


def test_a_worker_gives_the_same_chunks(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[Any]:
        drawn = SamplingParams(temperature=1.2, seed=11, max_tokens=40, logprobs=3, logit_bias={5: -float("inf")})
        stopping = GenerationOptions(sampling=drawn, stop=("e ", "never there"))
        messages = [{"role": "user", "content": "Hello"}]
        return [
            shown(await collect(engine, PROMPT)),
            shown(await collect(engine, engine.tokenize(PROMPT), drawn)),
            shown(await collect(engine, PROMPT, options=stopping)),
            shown([chunk async for chunk in engine.chat(messages, drawn)]),
        ]

    here, there = in_both(tiny_model, use)
    for ours, theirs in zip(itertools.chain(*here), itertools.chain(*there), strict=True):
        assert ours[:2] + ours[3:] == theirs[:2] + theirs[3:]
        # the number of threads, which follows what else runs, decides the last digits
        numbers, others = ([entry.chosen for entry in answer[2]] for answer in (ours, theirs))
        assert numbers == pytest.approx(others, abs=1e-3)
    assert len(here[1][0][2]) == 40


def test_a_worker_gives_every_choice(tiny_model: Path) -> None:
    options = GenerationOptions(
        sampling=SamplingParams(temperature=1.5, seed=3, max_tokens=12, ignore_eos=True), choices=3
    )

    async def use(engine: Engine) -> list[Any]:
        return shown(await collect(engine, PROMPT, options=options))

    here, there = in_both(tiny_model, use, sequences=4, context=128)
    assert [finish_reason for _text, _ids, _logprobs, finish_reason, *_ in there] == ["length"] * 3
    assert len({text for text, *_ in there}) == 3
    assert here == there


def test_what_is_known_about_the_model_is_the_same(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[Any]:
        facts = msgspec.structs.replace(engine.facts, info=msgspec.structs.replace(engine.info, load_s=0.0))
        prompt = await engine.render([{"role": "user", "content": "Hello"}])
        texts = engine.token_texts([0, 5, 5, 300, 1])
        return [facts, prompt, engine.tokenize("Hello, world"), texts, engine.token_text(300)]

    here, there = in_both(tiny_model, use)
    assert here == there


@pytest.mark.parametrize(
    "prompt", ["", [], [-1], [8192], [True], ["x"], "\ud800", [5] * 256, "<|im_start|>" * 10_000], ids=range(9)
)
def test_a_prompt_that_is_none_is_refused_alike(tiny_model: Path, prompt: Any) -> None:
    async def use(engine: Engine) -> tuple[Any, str, str | None]:
        with pytest.raises(EdgeLLMError) as caught:
            await collect(engine, prompt)
        return type(caught.value), caught.value.message, caught.value.hint

    here, there = in_both(tiny_model, use)
    assert here == there
    assert issubclass(here[0], UsageError)


@pytest.mark.parametrize(
    "options",
    [
        {"stop": ("\ud800",)},
        {"stop": ("",)},
        {"scope": "\ud800"},
        {"sampling": SamplingParams(logit_bias={100_000: 1.0})},
    ],
    ids=["stop that is no text", "empty stop", "scope that is no text", "bias of no token"],
)
def test_wrong_options_are_refused_alike_and_hurt_nobody_else(tiny_gguf: Path, options: Any) -> None:
    async def use(engine: Engine) -> tuple[Any, str, list[Any]]:
        with pytest.raises(UsageError) as caught:
            await collect(engine, PROMPT, options=GenerationOptions(**options))
        return type(caught.value), caught.value.message, shown(await collect(engine, PROMPT))

    here, there = in_both(tiny_gguf, use)
    assert here == there


def test_options_of_a_wrong_type_fail_their_request_alone(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[Any]:
        running = asyncio.create_task(collect(engine, PROMPT))
        wrong = [GenerationOptions(choices=1.5), GenerationOptions(speculate=object())]  # type: ignore[arg-type]
        refused = [collect(engine, PROMPT, options=options) for options in wrong]
        return [await running, *await asyncio.gather(*refused, return_exceptions=True)]

    chunks, *errors = with_worker(tiny_model, use)
    assert len(ids_of(chunks)) == 24
    assert [type(error) for error in errors] == [UsageError, UsageError]


def test_a_token_that_is_none_has_no_text(tiny_model: Path) -> None:
    async def use(engine: Engine) -> None:
        with pytest.raises(BackendError, match="outside the vocabulary"):
            engine.token_texts([5, 8192])

    with_worker(tiny_model, use)


def test_a_closed_iterator_frees_the_worker_for_the_next(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[list[Chunk], int, list[Chunk]]:
        async with contextlib.aclosing(engine.generate(PROMPT, ENDLESS)) as chunks:
            first = [await anext(chunks) for _ in range(3)]
        while (await engine.statistics()).running:
            await asyncio.sleep(0.001)
        generated = (await engine.statistics()).generated_tokens
        return first, generated, await collect(engine, PROMPT)

    first, generated, after = with_worker(tiny_model, use, context=512)
    assert ids_of(after)[:3] == ids_of(first)
    assert generated < 400


def test_many_requests_at_once_do_not_mix(tiny_model: Path) -> None:
    prompts = [PROMPT, "The history of", "She walked into the", PROMPT + " ears"] * 3

    async def use(engine: Engine) -> list[list[int]]:
        return [ids_of(chunks) for chunks in await asyncio.gather(*(collect(engine, prompt) for prompt in prompts))]

    here, there = in_both(tiny_model, use, sequences=4)
    assert here == there


def test_errors_of_loading_are_the_same(tiny_gguf: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(tiny_gguf.read_bytes()[:100_000])

    async def error_of(isolation: Any, **changes: Any) -> tuple[Any, str, str | None]:
        before = set(psutil.Process().children())
        with pytest.raises(EdgeLLMError) as caught:
            await Engine.load(request_for(**{"path": tiny_gguf, **changes}), isolation=isolation)
        assert set(psutil.Process().children()) <= before
        return type(caught.value), caught.value.message, caught.value.hint

    for expected, changes in (
        (NotFoundError, {"path": tmp_path / "missing.gguf"}),
        (ModelFileError, {"path": torn}),
        (UsageError, {"context": 100_000}),
        (UsageError, {"kv_type_k": "nonsense"}),
    ):
        here = asyncio.run(error_of("process", **changes))
        assert here == asyncio.run(error_of("worker", **changes))
        assert here[0] is expected


def test_a_model_that_does_not_fit_is_refused_by_the_worker(tiny_gguf: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    with adapter.open("wb") as file:
        file.truncate(1 << 40)  # counts as memory; nothing of it is on the disk

    async def load() -> None:
        await Engine.load(request_for(tiny_gguf, adapters={"huge": adapter}), isolation="worker")

    with pytest.raises(DoesNotFitError):
        asyncio.run(load())


def test_progress_and_messages_of_loading_arrive(tiny_model: Path) -> None:
    async def heard(isolation: Any) -> Listener:
        listener = Listener()
        request = request_for(tiny_model, threads=2)
        async with await Engine.load(request, isolation=isolation, progress=listener):
            return listener

    here, there = asyncio.run(heard("process")), asyncio.run(heard("worker"))
    assert there.phases == here.phases == [("load", model_bytes(tiny_model))]
    assert there.loaded_bytes == here.loaded_bytes > 0
    assert there.messages == here.messages


def test_loading_can_be_cancelled(tiny_model: Path) -> None:
    cancel = CancelToken()

    class Impatient(Listener):
        def phase(self, name: str, total_bytes: int | None = None) -> None:
            cancel.cancel()

    async def load() -> None:
        engine = await Engine.load(request_for(tiny_model), isolation="worker", progress=Impatient(), cancel=cancel)
        await engine.close()  # so fast a machine had loaded it before it heard
        raise Interrupted("loaded")

    before = set(psutil.Process().children())
    with pytest.raises(Interrupted):
        asyncio.run(load())
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize("isolation", ["process", "worker"])
def test_a_cancelled_loading_task_leaves_no_model(tiny_gguf: Path, isolation: Any) -> None:
    before, open_before = set(psutil.Process().children()), descriptors()
    threads = set(threading.enumerate())

    async def main() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        class Listening(Listener):
            def phase(self, name: str, total_bytes: int | None = None) -> None:
                loop.call_soon_threadsafe(begun.set)

        task = asyncio.create_task(Engine.load(request_for(tiny_gguf), isolation=isolation, progress=Listening()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    wait_until(lambda: set(psutil.Process().children()) <= before)
    wait_until(lambda: set(threading.enumerate()) <= threads)
    assert descriptors() <= open_before


def test_a_worker_finds_its_model_from_another_working_folder(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_gguf.parent)

    async def main() -> list[Chunk]:
        request = request_for(Path(tiny_gguf.name))
        async with await Engine.load(request, isolation="worker", restart=QUICK_RESTARTS) as engine:
            monkeypatch.chdir(tmp_path)
            pid = engine.status().pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            while engine.status().state == "running":
                await asyncio.sleep(0.001)
            return await collect(engine, PROMPT)

    assert len(ids_of(asyncio.run(main()))) == 24


def test_two_engines_at_once_are_two_processes(tiny_gguf: Path) -> None:
    async def main() -> tuple[list[list[Chunk]], set[int | None]]:
        first, second = await asyncio.gather(
            *(Engine.load(request_for(tiny_gguf), isolation="worker") for _ in range(2))
        )
        async with first, second:
            pids = {first.status().pid, second.status().pid, os.getpid()}
            return list(await asyncio.gather(*(collect(engine, PROMPT) for engine in (first, second) * 3))), pids

    answers, pids = asyncio.run(main())
    assert len(pids) == 3
    assert all(ids_of(answer) == ids_of(answers[0]) for answer in answers)


def test_a_closed_engine_gives_everything_back(tiny_model: Path) -> None:
    with_worker(tiny_model, lambda engine: collect(engine, PROMPT))  # what is opened once for ever is open now
    gc.collect()
    before, threads, children = descriptors(), set(threading.enumerate()), psutil.Process().children()

    async def use(engine: Engine) -> tuple[int, int]:
        await collect(engine, PROMPT)
        pid = engine.status().pid
        assert pid is not None
        return pid, psutil.Process(pid).memory_info().rss

    for _ in range(3):
        pid, rss_bytes = with_worker(tiny_model, use)
        assert rss_bytes > 2**24
        assert not psutil.pid_exists(pid)  # not even a zombie
    wait_until(lambda: set(threading.enumerate()) <= threads)
    assert descriptors() == before
    assert psutil.Process().children() == children


def test_closing_ends_what_runs_and_what_waits(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[Any]:
        tasks = [asyncio.create_task(collect(engine, PROMPT, ENDLESS)) for _ in range(5)]
        while not (await engine.statistics()).generated_tokens:
            await asyncio.sleep(0.001)
        await engine.close()
        await engine.close()
        assert engine.status().state == "closed"
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    ended = with_worker(tiny_model, use, context=512)
    assert any(isinstance(end, BackendError) for end in ended)
    assert all(isinstance(end, BackendError | list) for end in ended)


def test_after_closing_nothing_is_accepted(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        await engine.close()
        with pytest.raises(BackendError, match="closed"):
            await collect(engine, PROMPT)
        with pytest.raises(BackendError, match="closed"):
            engine.tokenize("x")
        with pytest.raises(BackendError, match="closed"):
            await engine.statistics()

    with_worker(tiny_gguf, use)


@pytest.mark.parametrize("isolation", ["process", "worker"])
def test_an_event_loop_that_closes_early_leaves_an_engine_that_can_be_closed(tiny_gguf: Path, isolation: Any) -> None:
    loop = asyncio.new_event_loop()
    engine = loop.run_until_complete(Engine.load(request_for(tiny_gguf, context=512), isolation=isolation))
    chunks = engine.generate(PROMPT, ENDLESS)
    loop.run_until_complete(anext(chunks))
    loop.close()  # neither the generator nor the engine was closed

    async def close() -> None:
        while (await engine.statistics()).running:  # what nobody can read any more is not computed to its end
            await asyncio.sleep(0.001)
        assert (await engine.statistics()).generated_tokens < 400
        again = await collect(engine, PROMPT)
        assert len(ids_of(again)) == 24
        await engine.close()

    asyncio.run(close())
    with contextlib.suppress(RuntimeError, StopIteration):
        chunks.aclose().send(None)  # what Python would do, and warn of, when it is collected


def test_a_worker_waits_for_a_reader_that_stands_still(tiny_gguf: Path) -> None:
    """Nothing is lost, and what waits is bounded by the socket: the worker stops computing."""
    arrived: list[Delivery] = []
    read_on, over = threading.Event(), threading.Event()

    def deliver(batch: list[Delivery]) -> None:
        read_on.wait(PATIENCE_S)
        arrived.extend(batch)
        if any(isinstance(item, EdgeLLMError) or item.finish_reason for _id, item in batch):
            over.set()

    n_tokens = 1500
    core = WorkerCore.load(request_for(tiny_gguf, context=2048, force=True), deliver)
    try:
        pid = core.status().pid
        assert pid is not None
        params = SamplingParams(temperature=0, ignore_eos=True, max_tokens=n_tokens, logprobs=20)
        core.start(Request(1, [5], GenerationOptions(sampling=params)))
        seen = [cpu_seconds(pid)]

        def stands_still() -> bool:
            seen.append(cpu_seconds(pid))
            return len(seen) > 200 and seen[-1] == seen[-200] > seen[0]

        wait_until(stands_still)
        assert not arrived
        read_on.set()
        assert over.wait(PATIENCE_S)
        tokens = [token for _id, item in arrived if isinstance(item, Chunk) for token in item.token_ids]
        assert len(tokens) == n_tokens
        assert cpu_seconds(pid) - seen[0] > 2 * (seen[-1] - seen[0])  # most was still to be computed
    finally:
        read_on.set()
        core.close()


def test_a_worker_is_the_first_to_go_when_memory_runs_out(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> int:
        return int(Path(f"/proc/{engine.status().pid}/oom_score_adj").read_text())

    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert with_worker(tiny_gguf, use) > own or own == 1000


def test_what_a_library_prints_is_no_message(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes, threading\n"
        "def chatter():\n"
        "    libc = ctypes.CDLL(None)\n"
        "    while True:\n"
        "        libc.write(1, b'\\xff\\x00\\x00chatter\\n' * 50, 11 * 50)\n"
        "threading.Thread(target=chatter, daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    chunks = with_worker(tiny_gguf, lambda engine: collect(engine, PROMPT))
    assert len(ids_of(chunks)) == 24


def test_the_process_that_serves_loads_no_native_code(tiny_model: Path) -> None:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom edgellm_runtimes.engine import Engine\n"
        "from edgellm_runtimes.load import LoadRequest\n"
        "async def main():\n"
        "    request = LoadRequest(model_path=Path(sys.argv[1]), context=256, threads=1)\n"
        "    async with await Engine.load(request, isolation='worker') as engine:\n"
        "        params = engine.params(max_tokens=5)\n"
        "        assert [chunk.text async for chunk in engine.generate('Friends', params)]\n"
        "        await engine.statistics()\n"
        "asyncio.run(main())\n"
        "native = ('numpy', 'llama_cpp', 'onnxruntime', 'tokenizers', 'edgellm_runtimes._native')\n"
        "print([name for name in native if name in sys.modules])\n"
        "print(any(name in open('/proc/self/maps').read() for name in ('ggml', 'onnxruntime')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_model)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_where_the_model_runs_can_be_asked(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        status = engine.status()
        assert status.isolation == "worker"
        assert status.state == "running"
        assert status.starts == 1
        assert status.last_error is None
        assert status.pid in {child.pid for child in psutil.Process().children()}
        assert not is_gone(status.pid or 0)

    with_worker(tiny_gguf, use)


def test_a_form_that_there_is_not_is_refused(tiny_gguf: Path) -> None:
    with pytest.raises(UsageError, match="process, worker"):
        asyncio.run(Engine.load(request_for(tiny_gguf), isolation="thread"))  # type: ignore[arg-type]


def test_options_and_params_together_are_refused(tiny_gguf: Path) -> None:
    async def use(engine: Engine) -> None:
        with pytest.raises(UsageError, match="either"):
            engine.generate(PROMPT, GREEDY, options=GenerationOptions())
        assert text_of(await collect(engine, PROMPT))

    with_worker(tiny_gguf, use)
