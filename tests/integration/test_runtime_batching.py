"""Many requests at once: what they share, and that none of them notices the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from backends import open_backend
from edgellm.errors import BusyError, UsageError
from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import Chunk, GenerationOptions
from edgellm_runtimes.load import info_of
from edgellm_runtimes.sampling import SamplingParams

CONTEXT = 256
GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, logprobs=0)
OPTIONS = GenerationOptions(sampling=GREEDY)

T = TypeVar("T")


@pytest.fixture(params=[True, False], ids=["shared cells", "own cells"], autouse=True)
def cells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds whether sequences share cells or have their own."""
    monkeypatch.setitem(CELLS, "shared_cells", request.param)


CELLS: dict[str, Any] = {}


def with_engine(path: Path, use: Callable[[Engine], Awaitable[T]], **settings: Any) -> T:
    async def main() -> T:
        options = {"context": CONTEXT, "sequences": 4, "spare_sequences": 4, "batch": 64, "ubatch": 64}
        options |= CELLS | settings
        backend = open_backend(path, BackendSettings(**options))
        async with Engine(backend, info_of(backend, 0.0)) as engine:
            return await use(engine)

    return asyncio.run(main())


async def collect(engine: Engine, prompt: list[int], options: GenerationOptions = OPTIONS) -> list[Chunk]:
    return [chunk async for chunk in engine.generate(prompt, options=options)]


def ids_of(chunks: list[Chunk], choice: int = 0) -> list[int]:
    return [token for chunk in chunks if chunk.choice == choice for token in chunk.token_ids]


def logprobs_of(chunks: list[Chunk]) -> list[float]:
    return [logprobs.chosen for chunk in chunks for logprobs in chunk.logprobs]


def cached(chunks: list[Chunk], choice: int = 0) -> int:
    return next(chunk.stats.cached_tokens for chunk in chunks if chunk.stats is not None and chunk.choice == choice)


def with_sampling(**changes: Any) -> GenerationOptions:
    return GenerationOptions(sampling=msgspec.structs.replace(GREEDY, **changes))


def prompts(count: int, length: int, seed: int = 0) -> list[list[int]]:
    source = random.Random(seed)
    return [[source.randrange(3, 2000) for _ in range(length)] for _ in range(count)]


def test_an_answer_does_not_depend_on_what_runs_beside_it(tiny_model: Path) -> None:
    """Sums in another order move a log-probability a little, and where two tokens are close the texts part."""
    given = [prompt[: 5 + 11 * number] for number, prompt in enumerate(prompts(9, 100))]

    async def use(engine: Engine) -> list[tuple[list[Chunk], list[Chunk]]]:
        together = await asyncio.gather(*(collect(engine, prompt) for prompt in given))
        alone = [await collect(engine, prompt, GenerationOptions(sampling=GREEDY, scope="alone")) for prompt in given]
        return list(zip(together, alone, strict=True))

    same = 0
    for together, alone in with_engine(tiny_model, use):
        for left, right, left_p, right_p in zip(
            ids_of(together), ids_of(alone), logprobs_of(together), logprobs_of(alone), strict=True
        ):
            assert left_p == pytest.approx(right_p, abs=1e-2)
            if left != right:
                break
            same += 1
    assert same > 0.8 * 9 * 24


def test_requests_run_at_the_same_time(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[int]:
        order: list[int] = []

        async def follow(number: int, prompt: list[int]) -> None:
            async for chunk in engine.generate(prompt, options=OPTIONS):
                order.extend([number] * len(chunk.token_ids))

        await asyncio.gather(*(follow(number, prompt) for number, prompt in enumerate(prompts(4, 8))))
        return order

    order = with_engine(tiny_model, use)
    assert sorted(order) == [number for number in range(4) for _ in range(24)]
    assert len({*order[:12]}) == 4  # the first tokens are of all of them


def test_choices_share_their_prompt_and_differ(tiny_model: Path) -> None:
    prompt = prompts(1, 60)[0]

    async def use(engine: Engine) -> tuple[list[Chunk], list[Chunk]]:
        sampling = msgspec.structs.replace(GREEDY, temperature=1.5, seed=7)
        several = await collect(engine, prompt, GenerationOptions(sampling=sampling, choices=6))
        second = await collect(engine, prompt, with_sampling(temperature=1.5, seed=8))
        return several, second

    several, second = with_engine(tiny_model, use)
    assert len({tuple(ids_of(several, choice)) for choice in range(6)}) == 6
    assert [cached(several, choice) for choice in range(6)] == [0] + [59] * 5
    assert ids_of(several, 1) == ids_of(second)
    assert sum(chunk.finish_reason is not None for chunk in several) == 6


def test_a_prompt_that_another_one_is_computing_is_computed_once(tiny_model: Path) -> None:
    shared = prompts(1, 150)[0]
    given = [shared + tail for tail in prompts(4, 5, seed=1)]

    async def use(engine: Engine) -> tuple[list[list[Chunk]], int]:
        done = await asyncio.gather(*(collect(engine, prompt) for prompt in given))
        return list(done), (await engine.statistics()).prompt_tokens

    done, computed = with_engine(tiny_model, use)
    assert [cached(chunks) for chunks in done] == [0, 150, 150, 150]
    assert computed == 150 + 4 * 5


def test_two_scopes_share_nothing(tiny_model: Path) -> None:
    prompt = prompts(1, 60)[0]

    async def use(engine: Engine) -> list[int]:
        found = []
        for scope in ("one", "other", "one"):
            found.append(cached(await collect(engine, prompt, GenerationOptions(sampling=GREEDY, scope=scope))))
        together = await asyncio.gather(
            *(collect(engine, prompt[::-1], GenerationOptions(sampling=GREEDY, scope=scope)) for scope in ("a", "b"))
        )
        return found + [cached(chunks) for chunks in together]

    assert with_engine(tiny_model, use) == [0, 0, 59, 0, 0]


def test_a_cancelled_prompt_is_gone_at_once_and_the_others_go_on(tiny_model: Path) -> None:
    long, other = prompts(2, 250)

    async def use(engine: Engine) -> tuple[list[Chunk], int]:
        cancelled = asyncio.create_task(collect(engine, long))
        going_on = asyncio.create_task(collect(engine, other[:10]))
        await asyncio.sleep(0.002)
        cancelled.cancel()
        chunks = await going_on
        return chunks, (await engine.statistics()).running

    chunks, running = with_engine(tiny_model, use, batch=16, ubatch=16)
    assert len(ids_of(chunks)) == 24
    assert running == 0


def test_a_full_queue_says_so(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[object]:
        return await asyncio.gather(
            *(collect(engine, prompt, with_sampling(max_tokens=2)) for prompt in prompts(300, 4)),
            return_exceptions=True,
        )

    found = with_engine(tiny_model, use)
    refused = [each for each in found if isinstance(each, BusyError)]
    assert 0 < len(refused) <= 300 - 256
    assert all(isinstance(each, list) for each in found if not isinstance(each, BusyError))


def test_a_deadline_ends_an_answer_with_what_is_there(tiny_model: Path) -> None:
    options = GenerationOptions(sampling=msgspec.structs.replace(GREEDY, max_tokens=None), deadline_s=0.3)
    chunks = with_engine(tiny_model, lambda engine: collect(engine, [5, 6, 7], options), context=4096)
    assert chunks[-1].finish_reason == "deadline"
    assert 0 < len(ids_of(chunks)) < 4000


def test_a_prompt_that_does_not_fit_is_refused_or_cut(tiny_model: Path) -> None:
    prompt = prompts(1, 400)[0]

    async def use(engine: Engine) -> tuple[list[Chunk], list[Chunk]]:
        with pytest.raises(UsageError, match="the context of 256"):
            await collect(engine, prompt)
        cut = GenerationOptions(sampling=GREEDY, overflow="truncate", keep=10)
        by_hand = prompt[:10] + prompt[-(256 - 10 - 24) :]
        return await collect(engine, prompt, cut), await collect(engine, by_hand)

    cut, by_hand = with_engine(tiny_model, use)
    assert ids_of(cut) == ids_of(by_hand)
    assert cut[-1].stats is not None
    assert cut[-1].stats.dropped_tokens == 400 - 256 + 24
    assert cut[-1].finish_reason == "length"


@pytest.mark.parametrize("shared", [False, True])
def test_a_shifted_answer_goes_beyond_the_context(tiny_model: Path, shared: bool) -> None:
    """With cells that another sequence holds too the rest is computed anew, else it is moved."""
    prompt = prompts(1, 100)[0]
    options = GenerationOptions(
        sampling=msgspec.structs.replace(GREEDY, max_tokens=400, temperature=0.9, seed=1), overflow="shift", keep=20
    )

    async def use(engine: Engine) -> tuple[list[Chunk], list[Chunk]]:
        if shared:
            await collect(engine, prompt)
        return await collect(engine, prompt, options), await collect(engine, prompt)

    shifted, after = with_engine(tiny_model, use)
    assert len(ids_of(shifted)) == 400
    assert shifted[-1].stats is not None
    assert shifted[-1].stats.dropped_tokens > 200
    assert ids_of(after) == ids_of(with_engine(tiny_model, lambda engine: collect(engine, prompt)))
