"""Prefixes that outlive a process, baked prompts, and adapters, through the engine."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from backends import open_backend
from edgellm.errors import NotFoundError
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import AdapterUse, Chunk, GenerationOptions
from edgellm_runtimes.kv_store import PrefixKey, PrefixStore
from edgellm_runtimes.load import LoadRequest, info_of
from edgellm_runtimes.sampling import SamplingParams
from peft_parts import make_adapter, read_checkpoint, write_adapter
from window_model import write_window_model

GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
PROMPT = [5 + 7 * number % 900 for number in range(150)]

T = TypeVar("T")


def with_engine(request: LoadRequest, use: Callable[[Engine], Awaitable[T]]) -> T:
    async def main() -> T:
        async with await Engine.load(request) as engine:
            return await use(engine)

    return asyncio.run(main())


async def collect(engine: Engine, prompt: list[int], **options: Any) -> list[Chunk]:
    chosen = GenerationOptions(sampling=GREEDY, **options)
    return [chunk async for chunk in engine.generate(prompt, options=chosen)]


def ids_of(chunks: list[Chunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


def cached(chunks: list[Chunk]) -> int:
    assert chunks[-1].stats is not None
    return chunks[-1].stats.cached_tokens


@pytest.fixture
def request_of(tiny_model: Path, tmp_path: Path) -> LoadRequest:
    digest = f"sha256:{hashlib.sha256(tiny_model.read_bytes()).hexdigest()}"
    return LoadRequest(
        model_path=tiny_model, context=256, sequences=2, model_digest=digest, prefix_folder=tmp_path / "prefixes"
    )


def asking_to_save(request: LoadRequest) -> LoadRequest:
    return msgspec.structs.replace(request, save_chats=True)


def test_a_conversation_goes_on_after_a_restart(request_of: LoadRequest) -> None:
    request = asking_to_save(request_of)
    first = with_engine(request, lambda engine: collect(engine, PROMPT, save=True, scope="me"))
    longer = [*PROMPT, *ids_of(first), 40, 41, 42]
    again = with_engine(request, lambda engine: collect(engine, longer, scope="me"))
    assert cached(again) == len(PROMPT) + len(ids_of(first)) - 1
    assert ids_of(again) == ids_of(with_engine(request, lambda engine: collect(engine, longer, scope="cold")))


def test_only_who_may_see_a_conversation_gets_it_back(request_of: LoadRequest) -> None:
    request = asking_to_save(request_of)
    with_engine(request, lambda engine: collect(engine, PROMPT, save=True, scope="me"))
    assert cached(with_engine(request, lambda engine: collect(engine, PROMPT, scope="somebody else"))) == 0


def test_nothing_is_written_that_was_not_asked_for(request_of: LoadRequest) -> None:
    with_engine(request_of, lambda engine: collect(engine, PROMPT, save=True))
    with_engine(asking_to_save(request_of), lambda engine: collect(engine, PROMPT))
    assert request_of.prefix_folder is not None
    assert not list(request_of.prefix_folder.glob("*.kv"))


def test_a_baked_prompt_is_computed_once_and_there_for_every_scope(tiny_model: Path, tmp_path: Path) -> None:
    baked = PROMPT[:100]

    def run() -> tuple[list[int], int]:
        backend = open_backend(tiny_model, BackendSettings(context=256, sequences=1, spare_sequences=4))
        store = PrefixStore(tmp_path / "prefixes", PrefixKey("sha256:" + "0" * 64, backend.state_traits))

        async def main() -> tuple[list[int], int]:
            async with Engine(backend, info_of(backend, 0.0), store=store, baked=baked) as engine:
                found = [await collect(engine, baked + tail, scope=scope) for scope, tail in TURNS]
                return [cached(chunks) for chunks in found], store.statistics().opened

        return asyncio.run(main())

    other = [[1000 + number] * 60 for number in range(4)]  # enough to push everything else out of the cache
    TURNS = [("a", [7, 8]), *((f"x{number}", tail) for number, tail in enumerate(other)), ("b", [9])]  # noqa: N806
    first, opened = run()
    assert first == [100] * 6
    assert opened == 0
    second, opened = run()
    assert second == [100] * 6
    assert opened == 1


def test_a_baked_prompt_that_cannot_be_computed_ends_nothing_else(tiny_model: Path) -> None:
    backend = open_backend(tiny_model, BackendSettings(context=256, sequences=1, spare_sequences=4))
    decode, calls = backend.decode, list[int]()

    def broken_at_first(slices: Sequence[TokenSlice]) -> Any:
        calls.append(len(slices))
        if len(calls) == 1:
            raise RuntimeError("a fault that is no error of ours")
        return decode(slices)

    backend.decode = broken_at_first  # type: ignore[method-assign]

    async def main() -> list[Chunk]:
        async with Engine(backend, info_of(backend, 0.0), baked=PROMPT[:100]) as engine:
            return await asyncio.wait_for(collect(engine, PROMPT[:110]), 60)

    chunks = asyncio.run(main())
    assert ids_of(chunks)
    assert cached(chunks) == 0


def test_requests_with_different_adapters_run_side_by_side(tiny_llm: Path, tiny_gguf: Path, tmp_path: Path) -> None:
    base = read_checkpoint(tiny_llm)
    files = {}
    for number, name in enumerate(("one", "two")):
        make_adapter(tmp_path / name, base, seed=number)
        files[name] = write_adapter(tmp_path / name, tiny_llm, tmp_path / f"{name}.gguf")
    request = LoadRequest(model_path=tiny_gguf, context=256, sequences=6, adapters=files)
    uses = [(), (AdapterUse("one"),), (AdapterUse("two"),), (AdapterUse("one", 0.5), AdapterUse("two"))]

    async def together(engine: Engine) -> list[list[int]]:
        with pytest.raises(NotFoundError, match="three"):
            await collect(engine, PROMPT, adapters=(AdapterUse("three"),))
        found = await asyncio.gather(*(collect(engine, PROMPT, adapters=use) for use in uses))
        return [ids_of(chunks) for chunks in found]

    async def in_turn(engine: Engine) -> list[list[int]]:
        return [ids_of(await collect(engine, PROMPT, adapters=use)) for use in uses]

    found = with_engine(request, together)
    assert found == with_engine(request, in_turn)
    assert len({tuple(ids) for ids in found}) == len(uses)


def test_a_cache_that_cannot_be_cut_takes_from_the_disk_what_it_can_use_whole(
    request_of: LoadRequest, tiny_gguf: Path, tmp_path: Path
) -> None:
    write_window_model(tmp_path / "window.gguf", tiny_gguf)
    request = asking_to_save(msgspec.structs.replace(request_of, model_path=tmp_path / "window.gguf", sequences=1))
    short = PROMPT[:100]

    async def save_both(engine: Engine) -> None:
        await collect(engine, short, save=True)
        await collect(engine, PROMPT, save=True)

    async def restored(engine: Engine) -> list[Chunk]:
        return await collect(engine, [*short, *ids, 7, *PROMPT[:40]])

    ids = ids_of(with_engine(request, lambda engine: collect(engine, short, save=True)))[:-1]
    with_engine(request, save_both)
    # the conversation of `PROMPT` begins as this one does, too, and cannot be cut where they part
    chunks = with_engine(request, restored)
    assert cached(chunks) == len(short) + len(ids)
    assert ids_of(chunks) == ids_of(with_engine(msgspec.structs.replace(request, prefix_folder=None), restored))
