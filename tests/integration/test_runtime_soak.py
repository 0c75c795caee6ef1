"""Two thousand random requests: every answer is that of its request, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import psutil
import pytest

from backends import is_onnx_model, open_backend
from edgellm.errors import BusyError, NotFoundError, UnsupportedError, UsageError
from edgellm_runtimes.backend import Backend, BackendSettings
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import AdapterUse, GenerationOptions
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.load import info_of
from edgellm_runtimes.sampling import SamplingParams
from peft_parts import make_adapter, read_checkpoint, write_adapter

REQUESTS = 1000  # for each kind of cells
AT_ONCE = 24
CONTEXT = 192
SETTINGS = BackendSettings(
    context=CONTEXT,
    sequences=6,
    spare_sequences=6,
    batch=64,
    ubatch=64,
    kv_type_k="f32",  # so that sums in another order move little
    kv_type_v="f32",
    flash_attention=False,
)
CHOICES = ("first choice", "second choice", "none of them")
GRAMMARS = (
    Grammar("json_schema", json.dumps({"enum": CHOICES})),
    Grammar("regex", "[a-m ]{3,30}"),
) * bool(importlib.util.find_spec("llguidance"))
IN_GRAMMAR: dict[str, Callable[[str], bool]] = {  # what a limit of tokens has cut, too
    "json_schema": lambda text: any(json.dumps(choice).startswith(text) for choice in CHOICES),
    "regex": lambda text: re.fullmatch("[a-m ]{0,30}", text) is not None,
}
ADAPTERS = ("one", "other")


class Case(NamedTuple):
    prompt: list[int]
    options: GenerationOptions


class Answer(NamedTuple):
    ids: list[int]
    logprobs: list[float]
    text: str


def make_cases(source: random.Random) -> list[Case]:
    """Prompts of 1 to 180 tokens, some with common beginnings, in several scopes; greedy: each has one answer."""
    beginnings = [[source.randrange(3, 2000) for _ in range(length)] for length in (0, 0, 40, 120)]
    cases = []
    for number in range(40):
        prompt = source.choice(beginnings) + [source.randrange(3, 2000) for _ in range(source.choice((1, 2, 9, 60)))]
        sampling = SamplingParams(
            temperature=0, max_tokens=source.choice((1, 2, 6, 12)), ignore_eos=True, logprobs=source.choice((0, 3))
        )
        # what a grammar forces comes without log-probabilities: so its answers are compared without any
        grammar = source.choice(GRAMMARS) if GRAMMARS and number % 5 == 0 else None
        if grammar is not None:
            sampling = msgspec.structs.replace(sampling, logprobs=None)
        cases.append(
            Case(
                prompt,
                GenerationOptions(
                    sampling=sampling,
                    grammar=grammar,
                    adapters=(AdapterUse(source.choice(ADAPTERS)),) if number % 4 == 1 else (),
                    scope=source.choice(("", "a", "b")),
                    speculate=number % 2 == 0,
                    overflow=source.choice(("error", "truncate", "shift")),
                ),
            )
        )
    return cases


async def answer(engine: Engine, case: Case) -> Answer:
    ids: list[int] = []
    logprobs: list[float] = []
    text = ""
    async for chunk in engine.generate(case.prompt, options=case.options):
        ids += chunk.token_ids
        logprobs += [each.chosen for each in chunk.logprobs]
        text += chunk.text
    if case.options.grammar is not None:
        assert IN_GRAMMAR[case.options.grammar.kind](text), (case.options.grammar, text)
    return Answer(ids, logprobs, text)


def is_same(found: Answer, expected: Answer) -> bool:
    """Sums in another order move log-probabilities a little; where two tokens are as likely the texts part there.

    Without log-probabilities it is compared whether there is an answer at all; the same tokens have the same text.
    """
    if found.ids == expected.ids and found.text != expected.text:
        return False
    if not expected.logprobs:
        return not found.logprobs and bool(found.ids) == bool(expected.ids)
    for token, other, logprob, other_logprob in zip(
        found.ids, expected.ids, found.logprobs, expected.logprobs, strict=True
    ):
        if abs(logprob - other_logprob) > 1e-2:
            return False
        if token != other:
            return True
    return True


async def one_request(engine: Engine, cases: list[Case], expected: list[Answer], source: random.Random) -> str:
    kind = source.choices(("whole", "cancelled", "left", "huge", "wrong"), (60, 15, 10, 5, 10))[0]
    number = source.randrange(len(cases))
    case = cases[number]
    if kind == "whole":
        found = await answer(engine, case)
        assert is_same(found, expected[number]), (number, found, expected[number])
    elif kind == "cancelled":
        task = asyncio.create_task(answer(engine, case))
        await asyncio.sleep(source.random() * 0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    elif kind == "left":
        async with contextlib.aclosing(engine.generate(case.prompt, options=case.options)) as chunks:
            async for _chunk in chunks:
                break
    elif kind == "huge":
        prompt = [source.randrange(3, 2000) for _ in range(source.randrange(CONTEXT, 4000))]
        with contextlib.suppress(UsageError):
            await answer(engine, Case(prompt, case.options))
    else:
        wrong = source.choice(
            (
                Case([], case.options),
                Case([-1], case.options),
                Case([10**9], case.options),
                Case([5], GenerationOptions(adapters=(AdapterUse("nobody"),))),
                Case([5], GenerationOptions(sampling=SamplingParams(logit_bias={10**6: 1.0}))),
                Case([5], GenerationOptions(grammar=Grammar("json_schema", '{"type": "nothing"}'))),
                Case([5], GenerationOptions(grammar=Grammar("regex", "(a"))),
            )
        )
        try:
            await answer(engine, wrong)
        except (UsageError, NotFoundError, UnsupportedError):
            return kind
        raise AssertionError(f"{wrong} was accepted")
    return kind


@pytest.fixture(scope="module")
def adapters(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, base = tmp_path_factory.mktemp("adapters"), read_checkpoint(tiny_llm)
    for seed, name in enumerate(ADAPTERS):
        make_adapter(folder / name, base, seed=seed)
    return {name: write_adapter(folder / name, tiny_llm, folder / f"{name}.gguf") for name in ADAPTERS}


def assert_nothing_is_held(engine: Any, backend: Backend) -> None:
    """Without requests every sequence is free and empty, or holds a prefix that may be given up."""
    scheduler = engine._core._scheduler
    slots, n_sequences = scheduler._slots, backend.limits.n_sequences
    assert sorted([*slots._free, *slots._tree.holders()]) == list(range(n_sequences))
    assert not slots._lent
    assert not any(backend.sequence_length(sequence) for sequence in slots._free)
    held = sum(backend.sequence_length(sequence) for sequence in range(n_sequences))
    assert held >= scheduler.statistics().cached_tokens  # common beginnings count once
    assert not scheduler._grammars._wanted
    assert not engine._arrivals._boxes


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("shared_cells", [True, False])
def test_two_thousand_random_requests_leave_nothing_behind(
    tiny_model: Path, shared_cells: bool, adapters: dict[str, Path]
) -> None:
    is_onnx = is_onnx_model(tiny_model)
    if shared_cells and is_onnx:
        pytest.skip("sequences of an ONNX model share no cells")
    source = random.Random(5)
    cases = make_cases(source)
    if is_onnx:
        cases = [Case(prompt, msgspec.structs.replace(options, adapters=())) for prompt, options in cases]

    async def main() -> None:
        settings = msgspec.structs.replace(SETTINGS, shared_cells=shared_cells)
        backend = open_backend(tiny_model, settings, adapters={} if is_onnx else adapters)
        async with Engine(backend, info_of(backend, 0.0), idle_tokens=500) as engine:
            expected = [await answer(engine, case) for case in cases]
            limit = asyncio.Semaphore(AT_ONCE)
            kinds: dict[str, int] = {}

            async def limited() -> None:
                async with limit:
                    with contextlib.suppress(BusyError):
                        kind = await one_request(engine, cases, expected, source)
                        kinds[kind] = kinds.get(kind, 0) + 1

            async def many(count: int) -> None:
                async with asyncio.TaskGroup() as group:
                    for _ in range(count):
                        group.create_task(limited())

            await many(REQUESTS // 4)
            files, memory = open_files(), psutil.Process().memory_info().rss
            await many(REQUESTS - REQUESTS // 4)
            assert open_files() == files
            assert psutil.Process().memory_info().rss - memory < 20 << 20
            assert kinds.keys() == {"whole", "cancelled", "left", "huge", "wrong"}
            for _ in range(500):  # cancelled ones leave with the next step
                statistics, core = await engine.statistics(), cast("Any", engine)._core
                if statistics.running == 0 and core.pulse().is_idle:
                    break
                await asyncio.sleep(0.02)
            assert (statistics.running, statistics.waiting) == (0, 0)
            assert statistics.cached_tokens <= 500
            assert_nothing_is_held(engine, backend)
            # every sequence can be had again
            after = await asyncio.gather(*(answer(engine, case) for case in cases))
            assert all(is_same(found, wanted) for found, wanted in zip(after, expected, strict=True))

    asyncio.run(main())
