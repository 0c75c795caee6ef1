"""Control tokens that are part of the text, and chunks in lists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import Chunk, GenerationOptions
from edgellm_runtimes.load import LoadRequest

T = TypeVar("T")
MARKER = "<|im_start|>"


def with_engine(path: Path, use: Callable[[Engine], Awaitable[T]]) -> T:
    async def main() -> T:
        async with await Engine.load(LoadRequest(model_path=path, context=256, sequences=4)) as engine:
            return await use(engine)

    return asyncio.run(main())


async def lists(engine: Engine, options: GenerationOptions) -> list[list[Chunk]]:
    return [chunks async for chunks in engine.stream("Once upon a time", options)]


def text_of(found: list[list[Chunk]], choice: int = 0) -> str:
    return "".join(chunk.text for chunks in found for chunk in chunks if chunk.choice == choice)


def test_control_tokens_are_text_where_they_are_named(tiny_gguf: Path) -> None:
    async def texts(engine: Engine) -> list[str]:
        (token,) = engine.tokenize(MARKER, add_special=False)
        sampling = engine.params(temperature=0, max_tokens=2, logit_bias={token: 1000.0})
        options = (GenerationOptions(sampling=sampling, markers=markers) for markers in ((), ("<|other|>",), (MARKER,)))
        return [text_of(await lists(engine, each)) for each in options]

    assert with_engine(tiny_gguf, texts) == ["", "", 2 * MARKER]


def test_lists_hold_the_chunks_of_all_choices(tiny_gguf: Path) -> None:
    async def both(engine: Engine) -> tuple[list[list[Chunk]], list[Chunk]]:
        options = GenerationOptions(sampling=engine.params(temperature=0, max_tokens=8), choices=3)
        chunks = [chunk async for chunk in engine.generate("Once upon a time", options=options)]
        return await lists(engine, options), chunks

    in_lists, one_by_one = with_engine(tiny_gguf, both)
    assert all(in_lists)
    assert [text_of(in_lists, choice) for choice in range(3)] == [text_of([one_by_one], choice) for choice in range(3)]
    assert sum(chunk.finish_reason is not None for chunks in in_lists for chunk in chunks) == 3
