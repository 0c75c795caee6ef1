"""Encoders on both backends: the vectors of the checkpoint's own arithmetic, and nothing that only decoders can do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from backends import is_onnx_model, open_encoder, write_gguf_file, write_onnx_folder
from bert_checkpoint import BERT_CONFIG, BERT_TOKENS, bert_tensors, hidden_states, make_bert, text_vector
from edgellm.errors import BackendError, MissingAbilityError, ModelFileError, NotFoundError, UsageError
from edgellm.formats.encoders import Pooling
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.embedding import Embeddings
from edgellm_runtimes.engine import Engine, Isolation
from edgellm_runtimes.generation import AdapterUse
from edgellm_runtimes.load import LoadRequest
from edgellm_runtimes.smoke import run_smoke

T = TypeVar("T")
CONTEXT, POSITIONS = 48, BERT_CONFIG["max_position_embeddings"]
TENSORS = bert_tensors(BERT_CONFIG)
TEXTS = ("The cat sat on the mat.", "hello WORLD", "Üben, 文字!", "playing a text", "x")
CLS, SEP = BERT_TOKENS.index("[CLS]"), BERT_TOKENS.index("[SEP]")
# llama.cpp computes GELU by its tanh form, from a table of half-precision numbers
EXACT = {True: 1e-5, False: 3e-4}


def with_engine(
    path: Path, use: Callable[[Engine], Awaitable[T]], *, isolation: Isolation = "process", **request: Any
) -> T:
    async def main() -> T:
        asked = {"context": CONTEXT, "threads": 1, **request}
        async with await Engine.load(LoadRequest(model_path=path, **asked), isolation=isolation) as engine:
            return await use(engine)

    return asyncio.run(main())


def ids(*lengths: int, seed: int = 0) -> list[list[int]]:
    """Texts as token ids, each with its special tokens."""
    source = np.random.default_rng(seed)
    return [[CLS, *source.integers(5, len(BERT_TOKENS), length - 2).tolist(), SEP] for length in lengths]


def expected(texts: list[list[int]], pooling: Pooling = "mean", *, normalise: bool = True) -> NDArray[np.float64]:
    return np.stack([text_vector(hidden_states(TENSORS, text), pooling, normalise=normalise) for text in texts])


def worst(left: NDArray[Any], right: NDArray[Any]) -> float:
    """1 - the smallest cosine."""
    cosines = (left * right).sum(axis=1) / (np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1))
    return float(1 - cosines.min())


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_vectors_are_those_of_the_checkpoint(bert_model: Path, pooling: Pooling, normalise: bool) -> None:
    given = ids(2, 3, 17, CONTEXT, 30, 31)
    found = with_engine(bert_model, lambda engine: engine.embed(given, pooling=pooling, normalise=normalise))
    wanted = expected(given, pooling, normalise=normalise)
    assert found.n_tokens == (2, 3, 17, CONTEXT, 30, 31)
    assert worst(found.vectors, wanted) < EXACT[is_onnx_model(bert_model)]
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx(np.linalg.norm(wanted, axis=1), rel=1e-3)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_the_graph_pools_as_the_model_was_trained(tmp_path: Path, pooling: Pooling, normalise: bool) -> None:
    make_bert(tmp_path / "bert", pooling=pooling, normalise=normalise)
    path = write_onnx_folder(tmp_path / "bert", tmp_path / "onnx")
    given = ids(2, 9, CONTEXT, 9)
    backend = open_encoder(path, BackendSettings(context=CONTEXT, spare_sequences=8))
    try:
        assert (backend.facts.pooling, backend.facts.normalised) == (pooling, normalise)
        slices = [TokenSlice(place, text) for place, text in enumerate(given)]
        vectors, states = backend.text_vectors(slices), backend.hidden_states(slices).copy()
    finally:
        backend.close()
    assert np.allclose(vectors, expected(given, pooling, normalise=normalise), atol=1e-4)
    assert np.allclose(states, np.concatenate([hidden_states(TENSORS, text) for text in given]), atol=1e-3)
    found = with_engine(path, lambda engine: engine.embed(given))
    assert np.allclose(found.vectors, expected(given, pooling), atol=1e-4)


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_a_gguf_says_how_it_pools(tmp_path: Path, pooling: Pooling) -> None:
    make_bert(tmp_path / "bert", pooling=pooling)
    path = write_gguf_file(tmp_path / "bert", tmp_path / "bert.gguf", "F32")
    given = ids(2, 9, CONTEXT)

    async def use(engine: Engine) -> Embeddings:
        assert engine.facts.pooling == pooling
        return await engine.embed(given)

    assert worst(with_engine(path, use).vectors, expected(given, pooling)) < EXACT[False]


def test_alone_and_together_they_are_equal(bert_model: Path) -> None:
    given = ids(*range(2, CONTEXT + 1), *[5] * 100, seed=3)

    async def use(engine: Engine) -> tuple[NDArray[np.float32], Embeddings, list[Embeddings]]:
        alone = np.concatenate([(await engine.embed([text])).vectors for text in given])
        together = await engine.embed(given)
        parts = await asyncio.gather(*(engine.embed(given[start::7]) for start in range(7)))
        statistics = await engine.statistics()
        assert statistics.embedded_texts == 3 * len(given)
        assert (statistics.embedding, statistics.waiting, statistics.cached_tokens) == (0, 0, 0)
        return alone, together, parts

    alone, together, parts = with_engine(bert_model, use)
    assert worst(alone, expected(given)) < EXACT[is_onnx_model(bert_model)]
    assert worst(alone, together.vectors) < 1e-4
    for start, part in enumerate(parts):
        assert worst(alone[start::7], part.vectors) < 1e-4


def test_texts_are_read_as_the_tokenizer_reads_them(bert_model: Path, tiny_bert: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_bert / "tokenizer.json"))
    tokenizer.no_truncation()

    async def use(engine: Engine) -> None:
        for text in (*TEXTS, "", "[MASK] the", "a\x85b\u200dc", "ab" * 60):
            for special in (True, False):
                wanted = tokenizer.encode(text, add_special_tokens=special).ids
                assert engine.tokenize(text, add_special=special) == wanted
        pieces = engine.token_bytes(engine.tokenize("playing", add_special=False))
        assert pieces == [b" play", b"ing"]
        found = await engine.embed(TEXTS)
        assert worst(found.vectors, expected([tokenizer.encode(text).ids for text in TEXTS])) < 1e-3

    with_engine(bert_model, use)


def test_a_text_that_is_too_long_is_refused_or_cut_before_its_last_token(bert_model: Path) -> None:
    long = "the cat sat on the mat . " * 40

    async def use(engine: Engine) -> tuple[Embeddings, list[int]]:
        with pytest.raises(UsageError, match=f"the context holds {CONTEXT}"):
            await engine.embed([long])
        with pytest.raises(UsageError, match="characters"):
            await engine.embed(["x" * 100_000])
        return await engine.embed([long, "cat", "x y " * 100_000], truncate=True), engine.tokenize(long)

    found, tokens = with_engine(bert_model, use)
    assert found.n_tokens == (CONTEXT, 3, CONTEXT)
    cut = [*tokens[: CONTEXT - 1], SEP]
    assert worst(found.vectors[:1], expected([cut])) < EXACT[is_onnx_model(bert_model)]


def test_nothing_that_a_decoder_does_is_there(bert_model: Path, tmp_path: Path) -> None:
    backend = open_encoder(bert_model, BackendSettings(context=CONTEXT, sequences=2, spare_sequences=3))
    try:
        assert "generation" not in backend.capabilities
        assert backend.limits.n_hidden >= CONTEXT
        assert backend.sequence_length(4) == 0
        for call in (
            lambda: backend.decode([TokenSlice(0, [CLS])]),
            lambda: backend.save_sequence(0, tmp_path / "state"),
            lambda: backend.restore_sequence(0, tmp_path / "state", 1),
            lambda: backend.saved_bytes(0),
        ):
            with pytest.raises(MissingAbilityError):
                call()
        with pytest.raises(BackendError, match="cannot be taken out"):
            backend.shift_sequence(0, 0, 1)
        with pytest.raises(BackendError, match="outside 0 to 4"):
            backend.sequence_length(5)
        assert backend.copy_sequence(0, 1)
        assert backend.truncate_sequence(0, 0)
        with pytest.raises(BackendError, match="outside the vocabulary"):
            backend.hidden_states([TokenSlice(0, [len(BERT_TOKENS)])])
        with pytest.raises(BackendError, match=f"the context holds {CONTEXT}"):
            backend.hidden_states([TokenSlice(0, [5] * (CONTEXT + 1))])
        with pytest.raises(NotFoundError):
            backend.set_adapters([AdapterUse("missing")])
        backend.set_adapters([])
    finally:
        backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.hidden_states([TokenSlice(0, [CLS])])


@pytest.mark.parametrize("isolation", ["process", "worker"])
def test_an_engine_over_it_generates_nothing_and_says_why(bert_model: Path, isolation: Isolation) -> None:
    async def use(engine: Engine) -> Embeddings:
        with pytest.raises(MissingAbilityError, match="encoder, which turns texts into vectors") as caught:
            await anext(engine.generate("hello"))
        assert "edgellm embed" in (caught.value.hint or "")
        assert caught.value.http_status == 400
        with pytest.raises(MissingAbilityError):
            await anext(engine.chat([{"role": "user", "content": "hello"}]))
        with pytest.raises(NotFoundError):
            await engine.embed(["a"], adapters=[AdapterUse("missing")])
        return await engine.embed(TEXTS)

    found = with_engine(bert_model, use, isolation=isolation)
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


def test_cancelled_texts_leave_nothing_behind(bert_model: Path) -> None:
    given = ids(*[CONTEXT] * 400)

    async def use(engine: Engine) -> float:
        before = await engine.embed(given[:3])
        for turns in range(8):
            task = asyncio.create_task(engine.embed(given))
            while turns and not (await engine.statistics()).embedding and not task.done():
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        after = await engine.embed(given[:3])
        return worst(before.vectors, after.vectors)

    assert with_engine(bert_model, use) < 1e-6


def test_the_context_ends_with_the_positions(bert_model: Path) -> None:
    async def use(engine: Engine) -> Embeddings:
        return await engine.embed(ids(POSITIONS))

    found = with_engine(bert_model, use, context=POSITIONS)
    assert worst(found.vectors, expected(ids(POSITIONS))) < EXACT[is_onnx_model(bert_model)]
    with pytest.raises(UsageError, match=f"{POSITIONS}"):
        with_engine(bert_model, use, context=POSITIONS + 1)


def test_more_threads_give_the_same(bert_model: Path) -> None:
    backend = open_encoder(bert_model, BackendSettings(context=CONTEXT))
    try:
        one = backend.hidden_states([TokenSlice(0, ids(20)[0])]).copy()
        backend.set_threads(2, 2)
        two = backend.hidden_states([TokenSlice(0, ids(20)[0])]).copy()
    finally:
        backend.close()
    assert np.allclose(one, two, atol=1e-4)


def test_the_smoke_test_embeds(bert_model: Path) -> None:
    result = run_smoke(bert_model, context=CONTEXT, kv_type_k="f32", kv_type_v="f32")
    assert (result.dimensions, result.generated_tokens, result.text) == (BERT_CONFIG["hidden_size"], 0, "")
    assert result.tokens_per_s > 0


def test_the_smoke_test_refuses_numbers_that_are_none(tmp_path: Path) -> None:
    broken = bert_tensors(BERT_CONFIG)
    broken["embeddings.LayerNorm.bias"][0] = 3e38
    broken["encoder.layer.0.output.LayerNorm.weight"][:] = 3e38
    make_bert(tmp_path / "bert", tensors=broken)
    path = write_onnx_folder(tmp_path / "bert", tmp_path / "onnx")
    with pytest.raises(BackendError, match="not finite"):
        run_smoke(path, context=CONTEXT)


def test_a_graph_whose_facts_lie_is_refused(tmp_path: Path, tiny_bert: Path) -> None:
    path = write_onnx_folder(tiny_bert, tmp_path / "onnx")
    data = path.read_bytes()
    for there, lie, message in (
        (b'"n_embd": 64', b'"n_embd": 65', "shape"),
        (b'"n_vocab"', b'"m_vocab"', "n_vocab"),
        (b'"pooling": "mean"', b'"pooling": "maxi"', "maxi"),
    ):
        assert data.count(there) == 1
        path.write_bytes(data.replace(there, lie))
        with pytest.raises(ModelFileError, match=message):
            open_encoder(path, BackendSettings(context=CONTEXT))
