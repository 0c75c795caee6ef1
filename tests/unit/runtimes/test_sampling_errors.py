"""What is no row of logits is refused, whatever stands around it; and nothing outside a row is read or written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgellm.errors import BackendError
from edgellm_runtimes import _sampling
from edgellm_runtimes.sampler import create_sampler, native_parameters, sample_rows
from edgellm_runtimes.sampling import ORDERS, SamplingParams
from sampling_reference import Context, Row, error_of, outcomes
from sampling_rig import OFF, Rig, make_row, mask_words

OPTIONS: list[dict[str, Any]] = [
    OFF,
    {"temperature": 0.0},
    {},
    *(OFF | {name: value} for name, value in (("top_k", 3), ("top_p", 0.9), ("min_p", 0.1), ("typical_p", 0.5))),
    OFF | {"top_n_sigma": 1.0},
    OFF | {"xtc_probability": 1.0},
    {"mirostat": 2},
    OFF | {"logit_bias": {0: 1.0}, "logprobs": 2},
]
NOT_A_NUMBER, NOTHING_ALLOWED = -1, -2


def sequence(**options: Any) -> _sampling.Sequence:
    return Rig(SamplingParams(**OFF | options)).sequence()


def sample_one(row: Row, options: dict[str, Any], masks: npt.NDArray[np.uint32] | None = None, tier: str = "") -> int:
    native = _sampling.Sequence(native_parameters(SamplingParams(**options), 1))
    token = _sampling.sample([native], row[None], masks, tier=tier)[0]
    assert native.position == (token >= 0)  # a row without a token changes nothing
    return token


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("n_vocab", [1, 15, 16, 17, 255, 256, 257, 511, 600, 4096])
def test_a_logit_that_is_not_a_number_is_found_wherever_it_stands(n_vocab: int, options: dict[str, Any]) -> None:
    row = make_row("peaked", n_vocab, np.random.default_rng(n_vocab))
    places = {0, n_vocab // 2, n_vocab - 1, n_vocab - 1 - n_vocab % 256, *range(max(0, n_vocab - 20), n_vocab)}
    for place in places & set(range(n_vocab)):
        for value in (np.nan, -np.nan):
            bad = row.copy()
            bad[place] = value
            assert {sample_one(bad, options, tier=tier) for tier in _sampling.tiers()} == {NOT_A_NUMBER}
            with pytest.raises(ValueError, match="no distribution"):
                Rig(SamplingParams(**options)).distribution(bad)


def test_every_place_of_a_row_is_looked_at() -> None:
    row = make_row("flat", 777, np.random.default_rng(0))
    for place in range(777):
        bad = row.copy()
        bad[place] = np.nan
        assert {sample_one(bad, OFF, tier=tier) for tier in _sampling.tiers()} == {NOT_A_NUMBER}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("n_vocab", [1, 255, 256, 257, 4096])
def test_a_row_without_a_token_is_refused(n_vocab: int, options: dict[str, Any]) -> None:
    nothing = np.full(n_vocab, -np.inf, np.float32)
    row = make_row("peaked", n_vocab, np.random.default_rng(n_vocab))
    for tier in _sampling.tiers():
        assert sample_one(nothing, options, tier=tier) == NOTHING_ALLOWED
        assert sample_one(row, options, mask_words(np.zeros(n_vocab, np.bool_)), tier) == NOTHING_ALLOWED
    # the bits behind the end of a row allow nothing either
    words = np.zeros((1, (n_vocab + 31) // 32), np.uint32)
    if n_vocab % 32:
        words[0, -1] = np.uint32((0xFFFFFFFF << n_vocab % 32) & 0xFFFFFFFF)
        assert sample_one(row, options, words) == NOTHING_ALLOWED


def test_biases_that_forbid_everything_are_an_error() -> None:
    row = make_row("peaked", 9, np.random.default_rng(0))
    bias = dict.fromkeys(range(9), -np.inf)
    assert sample_one(row, OFF | {"logit_bias": bias}) == NOTHING_ALLOWED
    with pytest.raises(BackendError, match="no token is left"):
        create_sampler(SamplingParams(logit_bias=bias), []).sample(row)


def test_other_rows_of_a_batch_are_chosen_from_all_the_same() -> None:
    rows = np.stack([make_row("peaked", 3000, np.random.default_rng(i)) for i in range(4)])
    rows[1, 2999] = np.nan
    rows[2] = -np.inf
    samplers = [create_sampler(SamplingParams(seed=1), []) for _ in range(4)]
    with pytest.raises(BackendError, match="not numbers"):
        sample_rows(samplers, rows)
    assert [sampler.native.position for sampler in samplers] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda row: row,  # one dimension
        lambda row: row[None, None],
        lambda row: np.stack([row, row]),  # two rows for one sequence
        lambda row: row[None].astype(np.float64),
        lambda row: row[None].astype(np.float16),
        lambda row: row[None].astype(np.int32),
        lambda row: row[None].astype(">f4"),
        lambda row: np.asfortranarray(np.stack([row, row]))[:1],
        lambda row: row[None, ::2],
        lambda row: row[None, ::-1],
        lambda row: np.empty((1, 0), np.float32),
        lambda row: row.tolist(),
        lambda row: None,
    ],
)
def test_what_is_no_array_of_rows_is_refused(wrong: Callable[[Row], Any]) -> None:
    row = make_row("flat", 64, np.random.default_rng(0))
    with pytest.raises((TypeError, ValueError)):
        _sampling.sample([sequence()], wrong(row))
    with pytest.raises((TypeError, ValueError)):
        _sampling.distribution(sequence(), wrong(row))


@pytest.mark.parametrize(
    "masks",
    [
        np.ones((1, 3), np.uint32),
        np.ones((1, 1), np.uint32),
        np.ones((2, 2), np.uint32),
        np.ones(2, np.uint32),
        np.ones((1, 2), np.int64),
        np.ones((1, 2), np.uint8),
        np.ones((1, 64), np.bool_),
        np.ones((1, 4), np.uint32)[:, ::2],
    ],
)
def test_what_is_no_mask_is_refused(masks: Any) -> None:
    row = make_row("flat", 64, np.random.default_rng(0))
    with pytest.raises((TypeError, ValueError)):
        _sampling.sample([sequence()], row[None], masks)


@pytest.mark.parametrize(
    "uniforms",
    [np.zeros((1, 1)), np.zeros((2, 2)), np.zeros(2), np.zeros((1, 2), np.float32), np.zeros((1, 4))[:, ::2]],
)
def test_what_are_no_uniform_numbers_is_refused(uniforms: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        _sampling.sample([sequence()], np.zeros((1, 64), np.float32), None, 1, uniforms)


@pytest.mark.parametrize("thing", [None, 3, "sequence", object()])
def test_what_is_no_sequence_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError):
        _sampling.sample([thing], np.zeros((1, 64), np.float32))
    with pytest.raises(TypeError):
        _sampling.distribution(thing, np.zeros((1, 64), np.float32))


def test_an_empty_batch_has_no_tokens() -> None:
    assert _sampling.sample([], np.empty((0, 64), np.float32)) == []
    assert sample_rows([], np.empty((0, 64), np.float32)) == []


def test_any_uniform_number_gives_a_token_of_the_distribution() -> None:
    for n_vocab in (300, 5000):
        row = make_row("few", n_vocab, np.random.default_rng(0))
        for options in OPTIONS:
            rig = Rig(SamplingParams(**options))
            allowed = np.flatnonzero(rig.distribution(row))
            drawn = rig.draw(row, np.array([0.0, 1.0, 2.0, -1.0, np.nan, np.inf, -np.inf, 1.0 - 2.0**-53]))
            assert set(drawn.tolist()) <= set(allowed.tolist())


@pytest.mark.parametrize("token", [-(2**31), -1, 64, 65, 300, 2**31 - 1])
def test_tokens_outside_the_vocabulary_change_nothing(token: int) -> None:
    rows = np.stack([make_row("flat", 64, np.random.default_rng(i)) for i in range(3)])
    before = rows.copy()
    options = OFF | {"repetition_penalty": 2.0, "presence_penalty": 1.0, "dry_multiplier": 1.0, "dry_allowed_length": 1}
    params = SamplingParams(**options, logit_bias={} if token < 0 else {token: 1e6})
    for breakers in ((), ([token],), ([5, token],), ([7, 8], [token, 5])):
        for generated in ([token, 5], [5, token]):
            context = Context(prompt=[token, 5, token, 5, token], generated=generated, breakers=breakers)
            for row in rows:
                assert error_of(Rig(params, context).distribution(row), outcomes(row, params, context)) < 1e-6
    assert (rows == before).all()


@pytest.mark.parametrize("order", ORDERS)
def test_a_sequence_takes_rows_of_any_length(order: str) -> None:
    rng = np.random.default_rng(1)
    names = ("top_k", "top_p", "min_p", "typical_p", "xtc_probability")
    for values in ((40, 0.9, 0.01, 1.0, 0.0), (0, 0.99, 0.0, 0.8, 1.0), (2000, 1.0, 0.0, 1.0, 0.5)):
        params = SamplingParams(order=order, **dict(zip(names, values, strict=True)))  # type: ignore[arg-type]
        native = Rig(params).sequence()
        for n_vocab in (5, 40000, 300, 1, 70000, 257, 5003):
            row = make_row("peaked", n_vocab, rng)
            fresh = Rig(params, Context(generated=[0] * native.position)).sequence()
            token = _sampling.sample([native], row[None])
            assert token == _sampling.sample([fresh], row[None])


def test_a_sequence_goes_back_but_not_into_the_future() -> None:
    native = sequence(frequency_penalty=1.0)
    native.prompt(np.array([1, 2], np.int32))
    for token in (3, 4, 5):
        native.accept(token)
    with pytest.raises(ValueError, match="future"):
        native.truncate(4)
    for position in (-1, 2**64, 1.5):
        with pytest.raises(TypeError):
            native.truncate(position)  # type: ignore[arg-type]
    native.truncate(1)
    assert native.position == 1
    row = make_row("flat", 64, np.random.default_rng(0))
    context = Context(prompt=[1, 2], generated=[3])
    expected = Rig(SamplingParams(**OFF | {"frequency_penalty": 1.0}), context).distribution(row)
    assert _sampling.distribution(native, row[None])[1] == expected.tolist()


@pytest.mark.parametrize("options", [{"mirostat": 2, "mirostat_tau": 3.0}, {}, {"xtc_probability": 0.5, "min_p": 0.01}])
def test_a_sequence_goes_on_after_a_step_back_as_it_did_before(options: dict[str, Any]) -> None:
    rows = [make_row("flat", 400, np.random.default_rng(i)) for i in range(12)]
    native = sequence(**options, presence_penalty=0.5)
    tokens = [_sampling.sample([native], row[None])[0] for row in rows]
    bound = native.mirostat_mu
    for position in (9, 4, 0, 12):
        native.truncate(position)
        assert [_sampling.sample([native], row[None])[0] for row in rows[position:]] == tokens[position:]
        assert native.mirostat_mu == bound
    native.truncate(3)
    for token in tokens[3:6]:
        native.accept(token)  # chosen elsewhere: the bound stays
    before = native.mirostat_mu
    native.truncate(4)
    assert native.mirostat_mu == before


def test_a_new_prompt_begins_anew() -> None:
    row = make_row("peaked", 64, np.random.default_rng(0))
    native = sequence(mirostat=2)
    first = _sampling.sample([native], row[None])
    assert native.mirostat_mu != 10.0
    native.prompt(np.array([1], np.int32))
    assert (native.position, native.mirostat_mu) == (0, 10.0)
    assert _sampling.sample([native], row[None]) == first


@pytest.mark.parametrize("threads", [0, 1, 2, 3, 1000, 2**32 - 1])
def test_any_number_of_threads_will_do(threads: int) -> None:
    rows = np.stack([make_row("peaked", 70000, np.random.default_rng(i)) for i in range(8)])
    expected = sample_rows([create_sampler(SamplingParams(seed=i), []) for i in range(8)], rows)
    assert (
        sample_rows([create_sampler(SamplingParams(seed=i), []) for i in range(8)], rows, threads=threads) == expected
    )


@pytest.mark.parametrize("threads", [-1, 2**32, 1.0, None])
def test_what_is_no_number_of_threads_is_refused(threads: Any) -> None:
    with pytest.raises(TypeError):
        _sampling.sample([sequence()], np.zeros((1, 64), np.float32), None, threads)


def test_rows_are_only_read() -> None:
    rows = np.stack([make_row("peaked", 3001, np.random.default_rng(i)) for i in range(3)])
    masks = np.repeat(mask_words(np.random.default_rng(9).random(3001) < 0.5), 3, 0)
    before = rows.copy()
    for array in (rows, masks):
        array.setflags(write=False)
    for options in OPTIONS:
        samplers = [create_sampler(SamplingParams(**options), [1, 2]) for _ in range(3)]
        sample_rows(samplers, rows)
        sample_rows(samplers, rows, masks)
    assert (rows == before).all()


def test_rows_may_lie_apart_or_backwards() -> None:
    rows = np.stack([make_row("peaked", 300, np.random.default_rng(i)) for i in range(6)])
    padded = np.full((6, 311), np.nan, np.float32)
    padded[:, 5:305] = rows

    def tokens(array: Row) -> list[int]:
        return _sampling.sample([sequence() for _ in range(len(array))], array)

    expected = tokens(rows)
    assert tokens(padded[:, 5:305]) == expected
    assert tokens(rows[::-1]) == expected[::-1]
    assert tokens(rows[::2]) == expected[::2]
    assert tokens(np.broadcast_to(rows[0], (3, 300))) == expected[:1] * 3
    assert tokens(np.broadcast_to(rows[:, :1], (6, 1))) == [0] * 6


def test_a_sequence_cannot_stand_in_two_rows() -> None:
    native = sequence()
    with pytest.raises(ValueError, match="twice"):
        _sampling.sample([native, native], np.zeros((2, 64), np.float32))
    assert native.position == 0
    assert _sampling.sample([native], np.zeros((1, 64), np.float32)) != []  # it is free again


def test_two_threads_sample_at_the_same_time() -> None:
    rows = np.stack([make_row("flat", 40000, np.random.default_rng(i)) for i in range(16)])
    params = SamplingParams(**OFF | {"top_p": 0.9, "frequency_penalty": 0.1, "seed": 3})

    def many(threads: int) -> list[list[int]]:
        samplers = [create_sampler(params, [1, 2, 3]) for _ in range(16)]
        return [sample_rows(samplers, rows, threads=threads) for _ in range(12)]

    expected, found = many(1), {}
    workers = [
        threading.Thread(target=lambda i=i: found.update({i: many(1 + i % 3)}))  # type: ignore[misc]
        for i in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert list(found) != []
    assert all(found[i] == expected for i in range(4))


def test_a_sequence_that_another_thread_uses_is_left_alone() -> None:
    """Whatever is done to it meanwhile: it works or is refused, and the history has what was accepted."""
    rows = make_row("flat", 150000, np.random.default_rng(0))[None]
    native = sequence(top_p=0.99, repetition_penalty=1.1, logprobs=5)
    refused = accepted = sampled = 0
    done = threading.Event()

    def sample_often() -> None:
        nonlocal sampled
        for _ in range(60):
            try:
                _sampling.sample([native], rows)
                sampled += 1
            except ValueError:
                pass
        done.set()

    worker = threading.Thread(target=sample_often)
    worker.start()
    while not done.is_set():
        try:
            native.accept(7)
            accepted += 1
            assert len(native.top_logprobs) in (0, 5)
        except ValueError:
            refused += 1
    worker.join()
    assert native.position == accepted + sampled
    assert sampled > 0
    assert refused > 0
