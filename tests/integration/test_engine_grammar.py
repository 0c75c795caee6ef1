"""Answers that follow a grammar, beside others that do not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from edgellm.errors import UsageError
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import Chunk, GenerationOptions
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.load import LoadRequest

pytest.importorskip("llguidance")

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["first choice", "second choice"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "kind", "count"],
    "additionalProperties": False,
}
JSON = Grammar("json_schema", json.dumps(SCHEMA))
PROMPT = "Once upon a time"

T = TypeVar("T")


def with_engine(path: Path, use: Callable[[Engine], Awaitable[T]], sequences: int = 4) -> T:
    async def main() -> T:
        async with await Engine.load(LoadRequest(model_path=path, context=256, sequences=sequences)) as engine:
            return await use(engine)

    return asyncio.run(main())


async def collect(engine: Engine, grammar: Grammar | None, seed: int = 0, **sampling: object) -> list[Chunk]:
    params = engine.params(temperature=1.5, max_tokens=150, seed=seed, **sampling)
    options = GenerationOptions(sampling=params, grammar=grammar)
    return [chunk async for chunk in engine.generate(PROMPT, options=options)]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def test_random_answers_are_json_of_the_schema_beside_free_ones(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[list[Chunk]]:
        kinds = [JSON, None] * 6
        return await asyncio.gather(*(collect(engine, kind, seed) for seed, kind in enumerate(kinds)))

    found = with_engine(tiny_model, use)
    for chunks in found[::2]:
        value = json.loads(text_of(chunks))
        assert chunks[-1].finish_reason == "stop"
        assert set(value) == {"name", "kind", "count"}
        assert value["kind"] in ("first choice", "second choice")
        assert 0 <= value["count"] <= 99
        assert len(value["name"]) <= 12
    assert len({text_of(chunks) for chunks in found}) == 12
    assert not any(text_of(chunks).startswith("{") for chunks in found[1::2])


def test_free_answers_are_what_they_are_without_a_neighbour_that_has_a_grammar(tiny_model: Path) -> None:
    async def beside(engine: Engine) -> str:
        free, _ = await asyncio.gather(collect(engine, None, 3), collect(engine, JSON, 3))
        return text_of(free)

    alone = with_engine(tiny_model, lambda engine: collect(engine, None, 3))
    assert with_engine(tiny_model, beside)[:40] == text_of(alone)[:40]


def test_what_must_follow_takes_no_step_of_its_own(tiny_model: Path) -> None:
    grammar = Grammar("regex", r"(yes|no), because the answer was written down before the question was asked\.")

    async def use(engine: Engine) -> tuple[list[Chunk], int]:
        chunks = await collect(engine, grammar)
        return chunks, (await engine.statistics()).steps

    chunks, steps = with_engine(tiny_model, use)
    assert re.fullmatch(grammar.text, text_of(chunks))
    assert chunks[-1].stats is not None
    assert steps < chunks[-1].stats.generated_tokens / 2


def test_log_probabilities_have_one_entry_for_each_token(tiny_model: Path) -> None:
    chunks = with_engine(tiny_model, lambda engine: collect(engine, Grammar("regex", "[a-f]{3,9}"), logprobs=2))
    assert re.fullmatch("[a-f]{3,9}", text_of(chunks))
    for chunk in chunks:
        assert len(chunk.logprobs) == len(chunk.token_ids)


@pytest.mark.parametrize(
    "grammar", [Grammar("json_schema", '{"type": "nothing"}'), Grammar("regex", "(unclosed"), Grammar("gbnf", "root =")]
)
def test_a_wrong_grammar_is_refused_and_nobody_else_notices(tiny_model: Path, grammar: Grammar) -> None:
    async def use(engine: Engine) -> tuple[object, list[Chunk]]:
        wrong, free = await asyncio.gather(collect(engine, grammar), collect(engine, None), return_exceptions=True)
        assert isinstance(free, list)
        return wrong, free

    wrong, free = with_engine(tiny_model, use)
    assert isinstance(wrong, UsageError)
    assert free[-1].finish_reason is not None


def test_a_grammar_that_reaches_a_limit_in_the_middle_fails_its_own_answer_alone(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgellm_runtimes.structured.constraint._FREE_S", 0.0)
    monkeypatch.setattr("edgellm_runtimes.structured.constraint._PER_TOKEN_S", 1e-7)

    async def use(engine: Engine) -> list[str]:
        free, constrained, other = await asyncio.gather(
            collect(engine, None, 3), collect(engine, JSON, 4), collect(engine, None, 5), return_exceptions=True
        )
        assert isinstance(constrained, UsageError)
        assert "tokens" in constrained.message
        assert constrained.hint == "shorten its texts and its repetitions"
        assert (await engine.statistics()).running == 0
        after = await collect(engine, None, 3)
        assert not isinstance(free, BaseException)
        assert not isinstance(other, BaseException)
        return [text_of(free), text_of(other), text_of(after)]

    free, other, after = with_engine(tiny_model, use)
    assert len(free) > 20
    assert len(other) > 20
    assert after[:40] == free[:40]


def test_a_request_that_is_cancelled_while_its_grammar_is_compiled_never_runs(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[int, int]:
        task = asyncio.create_task(collect(engine, JSON))
        await asyncio.sleep(0)
        await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        after = await collect(engine, JSON, 1)
        json.loads(text_of(after))
        statistics = await engine.statistics()
        return statistics.running, statistics.waiting

    assert with_engine(tiny_model, use) == (0, 0)


def test_a_worker_follows_grammars_too(tiny_model: Path) -> None:
    async def main() -> str:
        request = LoadRequest(model_path=tiny_model, context=256, sequences=2)
        async with await Engine.load(request, isolation="worker") as engine:
            return text_of(await collect(engine, JSON, 5))

    assert set(json.loads(asyncio.run(main()))) == {"name", "kind", "count"}


def test_an_answer_with_a_grammar_has_its_fewest_tokens_where_the_grammar_goes_on(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[list[Chunk], list[Chunk]]:
        end = engine.tokenize(engine.facts.eos_text, add_special=False)[0]
        wanting_to_end = {"min_tokens": 12, "logit_bias": {end: 1000.0}}
        long = await collect(engine, Grammar("regex", "[a-z ]{1,200}"), **wanting_to_end)
        return long, await collect(engine, Grammar("regex", "ab"), **wanting_to_end)

    long, short = with_engine(tiny_model, use)
    assert long[-1].finish_reason == short[-1].finish_reason == "stop"
    assert long[-1].stats is not None
    assert long[-1].stats.generated_tokens in (12, 13)  # with or without the end
    assert text_of(short) == "ab"
