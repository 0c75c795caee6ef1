"""Log-probabilities, of the logits as they came and of what the stages left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgellm_runtimes import _sampling
from edgellm_runtimes.sampler import create_sampler, sample_rows
from edgellm_runtimes.sampling import ORDERS, SamplingParams
from sampling_reference import Context, Floats, Row, log_shares, outcomes
from sampling_rig import KINDS, OFF, Rig, make_row, mask_words

TOP = 7
OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.0},
    OFF,
    OFF | {"temperature": 0.4, "top_k": 1500},
    OFF | {"top_p": 0.9999, "temperature": 3.0},
    OFF | {"typical_p": 0.6},
    OFF | {"typical_p": 0.95, "temperature": 1.5},
    OFF | {"xtc_probability": 1.0, "xtc_threshold": 0.001},
    OFF | {"min_p": 0.001, "dynamic_temperature_range": 0.5},
    {"mirostat": 2, "mirostat_tau": 8.0},
    {"top_k": 3},
]


def check(chosen: float, top: list[tuple[int, float]], token: int, expected: Floats, count: int = TOP) -> None:
    """``expected`` are the log-probabilities of all tokens."""
    assert chosen == pytest.approx(expected[token], abs=1e-5)
    ranks = np.lexsort((np.arange(len(expected)), -expected))
    ranks = ranks[expected[ranks] > -np.inf][:count]
    assert [entry for entry, _ in top] == ranks.tolist()
    assert [share for _, share in top] == pytest.approx(expected[ranks].tolist(), abs=1e-5)


def natives(params: SamplingParams) -> list[_sampling.Sequence]:
    return [Rig(params, Context(prompt=[1, 1, 2])).sequence() for _ in _sampling.tiers()]


@pytest.mark.parametrize("options", OPTIONS)
def test_raw_ones_are_the_softmax_of_the_row(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    params = SamplingParams(**options, logprobs=TOP, presence_penalty=1.0, logit_bias={3: 5.0})
    for n_vocab in (1, 6, 256, 1000, 5003, 32000):
        for kind in KINDS:
            row = make_row(kind, n_vocab, rng)
            for tier, native in zip(_sampling.tiers(), natives(params), strict=True):
                token = _sampling.sample([native], row[None], tier=tier)[0]
                check(native.logprob, native.top_logprobs, token, log_shares(row.astype(np.float64)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("options", OPTIONS)
def test_processed_ones_are_those_of_the_draw(options: dict[str, Any], order: str) -> None:
    rng = np.random.default_rng(2)
    params = SamplingParams(
        **options,
        order=order,
        logprobs=TOP,
        logprob_scope="processed",
        presence_penalty=1.0,  # type: ignore[arg-type]
    )
    for n_vocab in (1, 6, 256, 1000, 5003, 32000):
        for kind in KINDS:
            row = make_row(kind, n_vocab, rng)
            uniforms = np.array([[rng.random(), 0.0]])
            for tier, native in zip(_sampling.tiers(), natives(params), strict=True):
                if params.temperature == 0.0:
                    edited = outcomes(row, SamplingParams(**OFF, presence_penalty=1.0), Context([1, 1, 2]))[0]
                    shares = np.zeros(n_vocab)
                    shares[edited.ids] = edited.shares()
                else:  # what `distribution` gives is right: test_sampling_stages, test_sampling_chains
                    ids, kept = _sampling.distribution(native, row[None], None, uniforms, tier)
                    shares = np.zeros(n_vocab)
                    shares[ids] = kept
                token = _sampling.sample([native], row[None], uniforms=uniforms, tier=tier)[0]
                with np.errstate(divide="ignore"):
                    check(native.logprob, native.top_logprobs, token, np.log(shares))


def test_the_chosen_one_alone_can_be_asked_for() -> None:
    row = make_row("peaked", 3000, np.random.default_rng(3))
    for scope in ("raw", "processed"):
        sampler = create_sampler(SamplingParams(**OFF, logprobs=0, logprob_scope=scope), [])  # type: ignore[arg-type]
        token = sampler.sample(row)
        assert sampler.logprobs.top == []
        assert sampler.logprobs.chosen == pytest.approx(log_shares(row.astype(np.float64))[token], abs=1e-5)


def test_more_can_be_asked_for_than_there_are() -> None:
    row = make_row("flat", 40, np.random.default_rng(4))
    row[5:] = -np.inf
    for scope, options, count in (("raw", {"top_k": 2}, 5), ("processed", {"top_k": 2}, 2), ("processed", {}, 5)):
        params = SamplingParams(**OFF | options, logprobs=1000, logprob_scope=scope)  # type: ignore[arg-type]
        sampler = create_sampler(params, [])
        sampler.sample(row)
        assert len(sampler.logprobs.top) == count


@pytest.mark.parametrize("n_vocab", [40, 5003])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_a_mask_forbids_may_be_anything(n_vocab: int, value: float) -> None:
    row = make_row("flat", n_vocab, np.random.default_rng(5))
    row[[3, n_vocab - 1]] = value
    allowed = np.ones(n_vocab, np.bool_)
    allowed[[3, n_vocab - 1]] = False
    for options in (OFF, {"temperature": 0.0}):
        sampler = create_sampler(SamplingParams(**options, logprobs=2), [])
        token = sample_rows([sampler], row[None], mask_words(allowed))[0]
        raw = np.where(np.isnan(row), -np.inf, row).astype(np.float64)
        if np.isnan(value):
            check(sampler.logprobs.chosen, sampler.logprobs.top, token, log_shares(raw), 2)
        else:  # in the row as it came these two are certain
            assert sampler.logprobs.chosen == -np.inf
            assert sampler.logprobs.top == [(3, pytest.approx(-np.log(2))), (n_vocab - 1, pytest.approx(-np.log(2)))]


def test_those_of_an_earlier_token_are_gone() -> None:
    rows: list[Row] = [make_row("peaked", 300, np.random.default_rng(i)) for i in range(5)]
    sampler = create_sampler(SamplingParams(logprobs=3, seed=1), [])
    for row in rows:
        token = sampler.sample(row)
        check(sampler.logprobs.chosen, sampler.logprobs.top, token, log_shares(row.astype(np.float64)), 3)
