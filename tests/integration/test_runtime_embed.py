"""Vectors of texts: alone, in a batch, beside generation, in parts, and through a worker they are the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from backends import is_onnx_model, open_backend
from edgellm.errors import BackendError, BusyError, NotFoundError, UnsupportedError, UsageError
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.embedding import Embeddings, Pooling
from edgellm_runtimes.engine import Engine, Isolation
from edgellm_runtimes.generation import AdapterUse, Chunk
from edgellm_runtimes.load import LoadRequest, info_of
from edgellm_runtimes.sampling import SamplingParams
from onnx_models import GraphRun

CONTEXT = 256
SETTINGS = {"context": CONTEXT, "sequences": 4, "spare_sequences": 4, "batch": 64, "ubatch": 64}
GREEDY = SamplingParams(temperature=0, max_tokens=60, ignore_eos=True, logprobs=0)

T = TypeVar("T")
Vectors = npt.NDArray[np.float32]


def with_engine(path: Path, use: Callable[[Engine], Awaitable[T]], *, queue_limit: int = 256, **settings: Any) -> T:
    async def main() -> T:
        backend = open_backend(path, BackendSettings(**{**SETTINGS, **settings}))
        async with Engine(backend, info_of(backend, 0.0), queue_limit=queue_limit) as engine:
            return await use(engine)

    return asyncio.run(main())


def texts(*lengths: int, seed: int = 0) -> list[list[int]]:
    source = random.Random(seed)
    return [[source.randrange(3, 2000) for _ in range(length)] for length in lengths]


def cosines(left: Vectors, right: Vectors) -> Vectors:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.asarray((left * right).sum(axis=1) / norms)


async def collect(engine: Engine, prompt: list[int]) -> list[Chunk]:
    return [chunk async for chunk in engine.generate(prompt, GREEDY)]


def chosen(answer: list[Chunk]) -> list[tuple[int, float]]:
    """The tokens of an answer with their log-probabilities."""
    return [pair for chunk in answer for pair in zip(chunk.token_ids, [p.chosen for p in chunk.logprobs], strict=True)]


def plain_states(path: Path, tokens: list[int]) -> Vectors:
    """The hidden states after the last norm, by the library itself in one batch."""
    if is_onnx_model(path):
        return GraphRun(path).run(tokens, range(len(tokens)))["hidden_states"][:, 0]
    import llama_cpp

    model = llama_cpp.Llama(
        str(path), n_ctx=CONTEXT, n_batch=CONTEXT, embedding=True, pooling_type=0, flash_attn=True, verbose=False
    )
    try:
        ids = (llama_cpp.llama_token * len(tokens))(*tokens)
        batch = llama_cpp.llama_batch_get_one(ids, len(tokens))
        assert llama_cpp.llama_decode(model._ctx.ctx, batch) == 0
        pointer = llama_cpp.llama_get_embeddings(model._ctx.ctx)
        return np.array(np.ctypeslib.as_array(pointer, (len(tokens), model.n_embd())))
    finally:
        model.close()


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_vectors_are_those_of_the_hidden_states(tiny_model: Path, pooling: Pooling) -> None:
    given = texts(1, 7, 64, 200)
    found = with_engine(tiny_model, lambda engine: engine.embed(given, pooling=pooling, normalise=False))
    states = [plain_states(tiny_model, text) for text in given]
    expected = np.stack([rows.mean(axis=0) if pooling == "mean" else rows[-1] for rows in states])
    assert found.n_tokens == (1, 7, 64, 200)
    assert found.vectors.dtype == np.float32
    assert cosines(found.vectors, expected) == pytest.approx(np.ones(4), abs=1e-4)
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx(np.linalg.norm(expected, axis=1), rel=1e-2)


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"sequences": 1, "spare_sequences": 0}, {"ubatch": 16}, {"batch": 8, "ubatch": 8}, {"shared_cells": False}],
)
def test_alone_in_a_batch_and_beside_generation_they_are_equal(
    tiny_model: Path, pooling: Pooling, settings: dict[str, int]
) -> None:
    given = texts(*range(1, 20), 256, 150, 90)

    async def use(engine: Engine) -> tuple[Vectors, Vectors, Vectors, list[list[Chunk]], list[list[Chunk]]]:
        prompts = texts(9, 100, 30, seed=1)
        quiet = [await collect(engine, prompt) for prompt in prompts]
        alone = np.concatenate([(await engine.embed([text], pooling=pooling)).vectors for text in given])
        together = await engine.embed(given, pooling=pooling)
        beside, *answers = await asyncio.gather(
            engine.embed(given, pooling=pooling), *(collect(engine, prompt) for prompt in prompts)
        )
        assert together.n_tokens == beside.n_tokens == tuple(map(len, given))
        return alone, together.vectors, beside.vectors, quiet, list(answers)

    alone, together, beside, quiet, answers = with_engine(tiny_model, use, **settings)
    assert np.linalg.norm(alone, axis=1) == pytest.approx(np.ones(len(given)), abs=1e-5)
    assert cosines(alone, together) == pytest.approx(np.ones(len(given)), abs=1e-4)
    assert cosines(alone, beside) == pytest.approx(np.ones(len(given)), abs=1e-4)
    assert cosines(alone[:-1], alone[1:]).max() < 0.999  # other texts have other vectors
    same = 0
    for before, after in zip(quiet, answers, strict=True):
        for (left, left_p), (right, right_p) in zip(chosen(before), chosen(after), strict=True):
            assert left_p == pytest.approx(right_p, abs=1e-2)
            if left != right:
                break  # where two tokens are close, sums in another order part the texts
            same += 1
    assert same > 0.5 * 3 * 60


def test_short_texts_share_steps_and_generation_goes_on_between_them(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[int, int]:
        running = asyncio.create_task(collect(engine, texts(5)[0]))
        while not (await engine.statistics()).generated_tokens:
            await asyncio.sleep(0)
        before = (await engine.statistics()).generated_tokens
        await engine.embed(texts(*[256] * 4, seed=2))
        after = (await engine.statistics()).generated_tokens
        await running
        return before, after

    before, after = with_engine(tiny_model, use)
    assert after - before >= 12  # 1,024 tokens in steps of 64, and a token of the answer between two of them


def test_texts_and_counts_come_in_order(tiny_model: Path) -> None:
    async def use(engine: Engine) -> tuple[Embeddings, Embeddings, Embeddings, list[list[int]]]:
        words = ["The cat sat.", "Grüße aus Köln", "def main():"]
        ids = [engine.tokenize(word) for word in words]
        many = await engine.embed(words * 200)
        return many, await engine.embed(ids), await engine.embed([]), ids

    many, by_ids, none, ids = with_engine(tiny_model, use)
    assert many.n_tokens == tuple(map(len, ids)) * 200
    assert cosines(many.vectors, np.tile(by_ids.vectors, (200, 1))) == pytest.approx(np.ones(600), abs=1e-4)
    assert none.vectors.shape == (0, many.vectors.shape[1])


def test_what_cannot_be_embedded_is_refused(tiny_model: Path) -> None:
    async def use(engine: Engine) -> None:
        for given, message in (
            (["a", ""], "text 1 is empty"),
            ([[]], "text 0 is empty"),
            ([[5] * (CONTEXT + 1)], "257 tokens; the context holds 256"),
            (["a" * 100_000], "100000 characters"),
            ([[10**9]], "not a token id"),
            ("a text", "a list of texts"),
        ):
            with pytest.raises(UsageError, match=message):
                await engine.embed(given)
        with pytest.raises(UsageError, match="mean, cls or last"):
            await engine.embed(["a"], pooling="max")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="knows nothing of what follows"):
            await engine.embed(["a"], pooling="cls")
        with pytest.raises(NotFoundError, match="no adapter"):
            await engine.embed(["a"], adapters=[AdapterUse("missing")])
        assert len((await engine.embed([[5] * CONTEXT])).vectors) == 1
        statistics = await engine.statistics()
        assert (statistics.embedding, statistics.running, statistics.waiting) == (0, 0, 0)

    with_engine(tiny_model, use)


def test_a_model_without_the_capability_says_so(tiny_model: Path) -> None:
    backend = open_backend(tiny_model, BackendSettings(**SETTINGS))
    assert "embeddings" in backend.capabilities
    backend.capabilities = backend.capabilities - {"embeddings"}
    with pytest.raises(UnsupportedError):
        backend.hidden_states([TokenSlice(0, [5])])

    async def main() -> None:
        async with Engine(backend, info_of(backend, 0.0)) as engine:
            with pytest.raises(UnsupportedError, match="no embeddings"):
                await engine.embed(["a"])

    asyncio.run(main())


def test_a_batch_with_too_many_tokens_is_refused_not_aborted_on(tiny_model: Path) -> None:
    backend = open_backend(tiny_model, BackendSettings(**{**SETTINGS, "batch": 128}))
    try:
        assert backend.limits.n_hidden == 128
        with pytest.raises(BackendError, match="129"):
            backend.hidden_states([TokenSlice(0, [5] * 129)])
        before = backend.hidden_states([TokenSlice(0, [5, 6]), TokenSlice(1, [7])]).copy()
        logits = backend.decode([TokenSlice(2, [5, 6])]).copy()
        backend.drop_sequence(0)
        backend.drop_sequence(1)
        backend.drop_sequence(2)
        assert np.array_equal(backend.decode([TokenSlice(2, [5, 6])]), logits)  # one does not change the other
        assert np.array_equal(backend.hidden_states([TokenSlice(0, [5, 6]), TokenSlice(1, [7])]), before)
    finally:
        backend.close()


def test_cancelled_texts_leave_nothing_behind(tiny_model: Path) -> None:
    given = texts(*[250] * 40)

    async def use(engine: Engine) -> Vectors:
        expected = await engine.embed(given[:3])
        for delay in range(12):
            task = asyncio.create_task(engine.embed(given))
            for _ in range(delay * 3):
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        found = await engine.embed(given[:3])
        while True:
            statistics = await engine.statistics()
            if not statistics.embedding + statistics.waiting:
                break
        return cosines(expected.vectors, found.vectors)

    assert with_engine(tiny_model, use) == pytest.approx(np.ones(3), abs=1e-4)


def test_a_full_queue_is_an_error_and_closing_ends_what_waits(tiny_model: Path) -> None:
    async def use(engine: Engine) -> list[BaseException | Embeddings]:
        tasks = [asyncio.create_task(engine.embed(texts(200, 200))) for _ in range(60)]
        done = await asyncio.gather(*tasks, return_exceptions=True)
        late = asyncio.create_task(engine.embed(texts(*[250] * 60)))
        while not (await engine.statistics()).embedding:
            await asyncio.sleep(0)
        await engine.close()
        with pytest.raises(BackendError):
            await late
        return done

    done = with_engine(tiny_model, use, queue_limit=2)
    assert any(isinstance(each, BusyError) for each in done)
    assert any(isinstance(each, Embeddings) for each in done)
    assert all(isinstance(each, (BusyError, Embeddings)) for each in done)


def test_texts_give_way_to_answers_where_the_cache_is_full(tiny_model: Path) -> None:
    """Two answers and four texts, each as long as a sequence, in a pool for two."""
    given = texts(*[200] * 4)

    async def use(engine: Engine) -> tuple[Vectors, Vectors, list[list[Chunk]]]:
        alone = np.concatenate([(await engine.embed([text])).vectors for text in given])
        tasks = [asyncio.create_task(engine.embed([text])) for text in given]
        await asyncio.sleep(0)
        answers = await asyncio.gather(*(collect(engine, prompt) for prompt in texts(190, 190, 190, seed=3)))
        together = np.concatenate([(await task).vectors for task in tasks])
        return alone, together, list(answers)

    alone, together, answers = with_engine(tiny_model, use, sequences=2, spare_sequences=6, batch=32, ubatch=32)
    assert cosines(alone, together) == pytest.approx(np.ones(4), abs=1e-4)
    assert [sum(len(chunk.token_ids) for chunk in answer) for answer in answers] == [60] * 3


@pytest.mark.parametrize("isolation", ["process", "worker"])
def test_a_worker_gives_the_same(tiny_model: Path, isolation: Isolation) -> None:
    given = ["The cat sat on the mat.", *texts(3, 200), "Once"]

    async def main() -> tuple[Embeddings, Embeddings]:
        request = LoadRequest(model_path=tiny_model, context=CONTEXT, threads=1)
        async with await Engine.load(request, isolation=isolation) as engine:
            with pytest.raises(NotFoundError):
                await engine.embed(["a"], adapters=[AdapterUse("missing")])
            task = asyncio.create_task(engine.embed(texts(*[250] * 100)))
            await asyncio.sleep(0.02)
            task.cancel()
            found, _ = await asyncio.gather(engine.embed(given), collect(engine, texts(9)[0]))
            assert (await engine.statistics()).embedded_texts >= len(given)
            return found, await engine.embed(given[:1], pooling="last", normalise=False)

    async def reference() -> Embeddings:
        backend = open_backend(tiny_model, BackendSettings(**SETTINGS))
        async with Engine(backend, info_of(backend, 0.0)) as engine:
            return await engine.embed(given)

    found, last = asyncio.run(main())
    expected = asyncio.run(reference())
    assert found.n_tokens == expected.n_tokens
    assert cosines(found.vectors, expected.vectors) == pytest.approx(np.ones(4), abs=1e-4)
    assert abs(np.linalg.norm(last.vectors) - 1) > 0.1
