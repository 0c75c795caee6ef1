"""The engine: streamed generations, their ends, cancellation, prefix reuse."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from backends import open_backend
from edgellm.bundle.plan import SamplingDefaults
from edgellm.errors import BackendError, UsageError
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.engine import Engine, EngineInfo
from edgellm_runtimes.generation import Chunk
from edgellm_runtimes.heap import trim_heap
from edgellm_runtimes.load import info_of
from edgellm_runtimes.sampling import SamplingParams
from heap_parts import anonymous_bytes

CONTEXT = 256
GREEDY = SamplingParams(temperature=0, max_tokens=24)
PROMPT = "Friends, Romans, countrymen, lend me your"

T = TypeVar("T")


def with_engine(path: Path, use: Callable[[Engine], Awaitable[T]], **settings: Any) -> T:
    """Run ``use`` on a loaded engine; every test has one of its own, so that none sees another's cache."""

    async def main() -> T:
        options = {"context": CONTEXT, "batch": 64, "ubatch": 64, **settings}
        backend = open_backend(path, BackendSettings(**options))
        async with Engine(backend, info_of(backend, 0.0), SamplingDefaults(temperature=0.5)) as engine:
            return await use(engine)

    return asyncio.run(main())


async def collect(
    engine: Engine, prompt: str | list[int], params: SamplingParams = GREEDY, **options: Any
) -> list[Chunk]:
    return [chunk async for chunk in engine.generate(prompt, params, **options)]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ids_of(chunks: list[Chunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


def test_a_generation_streams_and_ends_with_statistics(tiny_model: Path) -> None:
    chunks = with_engine(tiny_model, lambda engine: collect(engine, PROMPT))
    assert len(chunks) == 24
    assert [chunk.finish_reason for chunk in chunks] == [None] * 23 + ["length"]
    stats = chunks[-1].stats
    assert stats is not None
    assert (stats.generated_tokens, stats.cached_tokens) == (24, 0)
    assert stats.prompt_tokens > 5
    assert stats.prompt_tokens_per_s > 0
    assert stats.decode_tokens_per_s > 0


def test_the_same_prompt_as_token_ids_gives_the_same(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[list[Chunk], list[Chunk]]:
        return await collect(engine, PROMPT), await collect(engine, engine.tokenize(PROMPT))

    text, ids = with_engine(tiny_model, use)
    assert ids_of(text) == ids_of(ids)


def test_a_reused_prefix_gives_the_same_tokens(tiny_model: Path) -> None:
    longer = PROMPT + " ears; I come to bury Caesar, not to praise him. The evil that men do"

    async def use(engine: Engine) -> tuple[list[Chunk], list[Chunk], list[Chunk]]:
        first = await collect(engine, PROMPT)
        conversation = PROMPT + text_of(first) + " and"
        return first, await collect(engine, conversation), await collect(engine, longer)

    first, second, third = with_engine(tiny_model, use)
    assert second[-1].stats is not None
    assert third[-1].stats is not None
    assert second[-1].stats.cached_tokens > len(ids_of(first))
    assert 0 < third[-1].stats.cached_tokens < third[-1].stats.prompt_tokens
    conversation = PROMPT + text_of(first) + " and"
    assert ids_of(second) == ids_of(with_engine(tiny_model, lambda engine: collect(engine, conversation)))
    assert ids_of(third) == ids_of(with_engine(tiny_model, lambda engine: collect(engine, longer)))


def test_the_same_seed_gives_the_same_text_and_another_seed_another(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[list[int]]:
        await collect(engine, PROMPT)  # all runs below begin from the same cache: its numbers depend on batch sizes
        runs = [SamplingParams(temperature=1.5, max_tokens=24, seed=seed) for seed in (7, 7, 8, 2**62)]
        return [ids_of(await collect(engine, PROMPT, params)) for params in runs]

    first, again, other, large = with_engine(tiny_model, use)
    assert first == again
    assert len({tuple(first), tuple(other), tuple(large)}) == 3


def test_a_seed_that_was_not_given_is_reported_and_repeats_the_text(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[list[int], list[int], bool]:
        await collect(engine, PROMPT)  # both runs begin from the same cache
        params = SamplingParams(temperature=1.5, max_tokens=24)
        first, other = await collect(engine, PROMPT, params), await collect(engine, PROMPT, params)
        assert first[-1].stats is not None
        again = SamplingParams(temperature=1.5, max_tokens=24, seed=first[-1].stats.seed)
        return ids_of(first), ids_of(await collect(engine, PROMPT, again)), ids_of(first) != ids_of(other)

    first, again, differ = with_engine(tiny_model, use)
    assert first == again
    assert differ


def test_a_repetition_penalty_changes_a_greedy_text(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[list[int]]:
        plain = SamplingParams(temperature=0, max_tokens=60)
        penalised = SamplingParams(temperature=0, max_tokens=60, repetition_penalty=1.5, repetition_window=200)
        return [ids_of(await collect(engine, PROMPT, params)) for params in (plain, penalised)]

    plain, penalised = with_engine(tiny_model, use)
    assert len(set(penalised)) > len(set(plain))


def test_a_stop_string_ends_the_text_before_it(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[str, list[Chunk], str]:
        whole = text_of(await collect(engine, PROMPT))
        stop = whole[9:16]  # across the borders of several tokens
        return whole, await collect(engine, PROMPT, stop=["never there", stop]), stop

    whole, stopped, stop = with_engine(tiny_model, use)
    assert text_of(stopped) == whole[: whole.index(stop)]
    assert stopped[-1].finish_reason == "stop"
    assert stopped[-1].stop_string == stop


def test_text_held_for_a_stop_string_is_shown_at_the_end(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[str, str]:
        whole = text_of(await collect(engine, PROMPT))
        return whole, text_of(await collect(engine, PROMPT, stop=[whole[-4:] + "\x00"]))

    whole, held = with_engine(tiny_model, use)
    assert held == whole


def test_an_end_token_stops_and_is_not_shown(tiny_model: Path) -> None:
    async def main() -> tuple[list[Chunk], list[Chunk], list[Chunk]]:
        backend = open_backend(tiny_model, BackendSettings(context=CONTEXT))
        async with Engine(backend, info_of(backend, 0.0)) as engine:
            whole = await collect(engine, PROMPT)
        end = ids_of(whole)[5]
        backend = open_backend(tiny_model, BackendSettings(context=CONTEXT), extra_ends=[end])
        async with Engine(backend, info_of(backend, 0.0)) as engine:
            ignoring = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
            return whole, await collect(engine, PROMPT), await collect(engine, PROMPT, ignoring)

    whole, ended, ignored = asyncio.run(main())
    first = ids_of(whole).index(ids_of(whole)[5])
    assert ids_of(ended) == ids_of(whole)[: first + 1]
    assert ended[-1].finish_reason == "stop"
    assert ended[-1].stop_string is None
    assert text_of(ended) == text_of(whole[:first])
    assert ids_of(ignored) == ids_of(whole)


def test_generation_ends_where_the_context_does(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[Chunk]:
        endless = SamplingParams(temperature=0, ignore_eos=True)
        return await collect(engine, [5] * 250, endless)

    chunks = with_engine(tiny_model, use)
    assert chunks[-1].finish_reason == "length"
    assert len(ids_of(chunks)) == CONTEXT - 250 + 1  # the last token needs no place of its own


@pytest.mark.parametrize("length", [CONTEXT, CONTEXT + 1, 10_000])
def test_a_prompt_beyond_the_context_is_refused_with_numbers(tiny_model: Path, length: int) -> None:
    with pytest.raises(UsageError) as caught:
        with_engine(tiny_model, lambda engine: collect(engine, [5] * length))
    assert str(length) in caught.value.message
    assert str(CONTEXT) in caught.value.message
    assert ("--context 512" in (caught.value.hint or "")) is (length < 512)  # what the model was trained for


def test_text_far_beyond_the_context_is_refused_before_it_is_tokenized(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="characters"):
        with_engine(tiny_model, lambda engine: collect(engine, "<|im_start|>" * 10_000))


@pytest.mark.parametrize("prompt", ["", [], [-1], [8192], [True], ["x"], "\ud800"])
def test_a_prompt_that_is_none_is_refused(tiny_model: Path, prompt: Any) -> None:
    with pytest.raises(UsageError):
        with_engine(tiny_model, lambda engine: collect(engine, prompt))


def test_requests_at_the_same_time_do_not_mix(tiny_model: Path) -> None:
    prompts = [PROMPT, "The history of", "She walked into the", PROMPT + " ears"]

    async def use(engine: Engine) -> list[list[int]]:
        return [ids_of(chunks) for chunks in await asyncio.gather(*(collect(engine, prompt) for prompt in prompts))]

    together = with_engine(tiny_model, use)
    alone = [ids_of(with_engine(tiny_model, lambda engine, p=prompt: collect(engine, p))) for prompt in prompts]
    assert together == alone


def test_a_closed_iterator_frees_the_model_for_the_next(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[list[Chunk], list[Chunk]]:
        endless = SamplingParams(temperature=0, ignore_eos=True)
        async with contextlib.aclosing(engine.generate(PROMPT, endless)) as chunks:
            first = [await anext(chunks) for _ in range(3)]
        return first, await collect(engine, PROMPT)

    first, after = with_engine(tiny_model, use)
    assert ids_of(after)[:3] == ids_of(first)


def test_a_cancelled_task_stops_in_the_middle_of_its_prefill(tiny_model: Path) -> None:
    async def main() -> tuple[int, list[Chunk], list[Chunk]]:
        backend = open_backend(tiny_model, BackendSettings(context=CONTEXT, batch=64, ubatch=64))
        decode, begun = backend.decode, threading.Event()

        def after_the_flag(slices: list[TokenSlice]) -> Any:
            begun.set()
            deadline = time.monotonic() + 30
            while not backend.abort_flag.is_set and time.monotonic() < deadline:
                time.sleep(0.001)
            return decode(slices)

        async with Engine(backend, info_of(backend, 0.0)) as engine:
            backend.decode = after_the_flag  # type: ignore[method-assign,assignment]
            task = asyncio.create_task(collect(engine, [5] * 250))
            await asyncio.to_thread(begun.wait, 30)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            backend.decode = decode  # type: ignore[method-assign]
            first = await collect(engine, PROMPT)
            return backend.sequence_length(0), first, await collect(engine, PROMPT)

    length, first, second = asyncio.run(main())
    assert length < 64  # nothing of the cancelled prompt was computed, or is left
    assert ids_of(first) == ids_of(second)


def test_a_waiting_request_can_be_cancelled(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[Chunk]:
        endless = SamplingParams(temperature=0, ignore_eos=True, max_tokens=200)
        running = asyncio.create_task(collect(engine, PROMPT, endless))
        waiting = asyncio.create_task(collect(engine, "The"))
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        return await running

    assert len(ids_of(with_engine(tiny_model, use))) == 200


def test_closing_ends_what_runs_with_an_error(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[Any]:
        endless = SamplingParams(temperature=0, ignore_eos=True)
        chunks = engine.generate(PROMPT, endless)
        await anext(chunks)
        waiting = asyncio.create_task(collect(engine, "The"))
        await asyncio.sleep(0.01)

        async def drain() -> None:
            async for _ in chunks:
                pass

        running = asyncio.create_task(drain())
        await engine.close()
        await engine.close()
        return list(await asyncio.gather(running, waiting, return_exceptions=True))

    running, waiting = with_engine(tiny_model, use)
    assert isinstance(waiting, BackendError)
    # the generation may have reached the end of its context before it was closed
    assert running is None or isinstance(running, BackendError)


def test_after_closing_nothing_is_accepted(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[Chunk]:
        await engine.close()
        return await collect(engine, [1, 2])

    with pytest.raises(BackendError, match="closed"):
        with_engine(tiny_model, use)


def test_a_chat_goes_through_the_models_template(tiny_model: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]

    async def use(engine: Engine) -> tuple[str, list[Chunk], list[Chunk]]:
        prompt = await engine.render(messages)
        tokens = engine.tokenize(prompt, add_special=False)
        chat = [chunk async for chunk in engine.chat(messages, GREEDY)]
        return prompt, chat, await collect(engine, tokens)

    prompt, chat, generated = with_engine(tiny_model, use)
    assert prompt.startswith("<|im_start|>system\nBe brief.")
    assert prompt.endswith("<|im_start|>assistant\n")
    assert ids_of(chat) == ids_of(generated)


def test_a_model_that_gives_no_numbers_is_an_error_and_the_engine_lives_on(tiny_model: Path) -> None:
    async def main() -> tuple[Exception | None, list[Chunk]]:
        backend = open_backend(tiny_model, BackendSettings(context=CONTEXT))
        decode, failure = backend.decode, None

        def broken(slices: list[TokenSlice]) -> Any:
            rows = decode(slices)
            rows[:, 17] = float("nan")
            return rows

        async with Engine(backend, info_of(backend, 0.0)) as engine:
            backend.decode = broken  # type: ignore[method-assign,assignment]
            try:
                await collect(engine, PROMPT)
            except BackendError as error:
                failure = error
            backend.decode = decode  # type: ignore[method-assign]
            return failure, await collect(engine, PROMPT)

    failure, after = asyncio.run(main())
    assert "not numbers" in str(failure)
    assert len(ids_of(after)) == 24


def test_the_models_own_sampling_is_the_default(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[float, float, EngineInfo]:
        return engine.params().temperature, engine.params(temperature=0.1).temperature, engine.info

    own, chosen, info = with_engine(tiny_model, use)
    assert (own, chosen) == (0.5, 0.1)
    assert (info.architecture, info.context, info.trained_context, info.has_chat_template) == ("llama", 256, 512, True)


def test_a_closed_engine_leaves_nothing_in_the_heap(tiny_model: Path) -> None:
    with_engine(tiny_model, lambda engine: collect(engine, PROMPT))
    before = anonymous_bytes()
    trim_heap()
    assert before - anonymous_bytes() < 1 << 20
