"""Every stage alone: the intervals of the uniform number that give each token, against its definition in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgellm_runtimes import _sampling
from edgellm_runtimes.sampling import ORDERS, SamplingParams
from sampling_reference import Context, Floats, State, dense, error_of, outcomes
from sampling_rig import KINDS, OFF, Rig, Row, make_row

TOLERANCE = 1e-6
FEW = 40  # so many tokens have all their intervals found
HISTORY = Context(prompt=[3, 3, 6, 1, 3, 3, 6, 5], generated=[1, 3, 3, 6])

STAGES: dict[str, list[dict[str, Any]]] = {
    "nothing": [{}],
    "greedy": [{"temperature": 0.0}, {"temperature": 0.0, "top_k": 3, "xtc_probability": 1.0}],
    "temperature": [{"temperature": value} for value in (0.05, 0.7, 2.0, 100.0)],
    "dynamic temperature": [
        {"temperature": 0.8, "dynamic_temperature_range": 0.5},
        {"dynamic_temperature_range": 2.0, "dynamic_temperature_exponent": 0.5},
        {"dynamic_temperature_range": 0.25, "dynamic_temperature_exponent": 0.0},
    ],
    "top-k": [{"top_k": k} for k in (1, 2, 40, 300, 1500, 30000)],
    "top-p": [{"top_p": p} for p in (0.0, 0.3, 0.9, 0.95, 0.9999)],
    "min-p": [{"min_p": p} for p in (1e-6, 0.05, 0.5, 1.0)],
    "typical-p": [{"typical_p": p} for p in (0.0, 0.2, 0.9, 0.9999)],
    "top-n-sigma": [{"top_n_sigma": n} for n in (0.1, 1.0, 3.0)],
    "xtc": [{"xtc_probability": 1.0, "xtc_threshold": t} for t in (0.0, 0.01, 0.1, 0.3, 0.5, 0.6)],
    "mirostat": [{"mirostat": 2, "mirostat_tau": tau, "temperature": 0.9} for tau in (0.0, 0.5, 2.0, 5.0, 40.0)],
    "logit bias": [{"logit_bias": {0: -1.5, 1: 4.0, 3: -np.inf, 2**31 - 1: 100.0}}],
    "repetition penalty": [{"repetition_penalty": value} for value in (0.8, 1.3)],
    "frequency penalty": [{"frequency_penalty": value} for value in (-0.5, 0.7)],
    "presence penalty": [{"presence_penalty": value} for value in (-0.5, 0.7)],
    "windows of penalties": [
        {"repetition_penalty": 1.5, "frequency_penalty": 0.3, "presence_penalty": 0.2, "repetition_window": window}
        for window in (-1, 0, 1, 5, 1000)
    ],
    "penalties of generated tokens": [
        {"frequency_penalty": 0.6, "penalize_prompt": False, "repetition_window": window} for window in (-1, 2)
    ],
    "dry": [
        {"dry_multiplier": 0.8, "dry_base": base, "dry_allowed_length": length, "dry_window": window}
        for base, length, window in ((1.75, 2, -1), (1.0, 1, -1), (3.0, 1, 6), (1.75, 1, 0), (1.2, 12, -1))
    ],
}
CASES = [(name, options) for name, stages in STAGES.items() for options in stages]


def check(row: Row, options: dict[str, Any], context: Context, rng: np.random.Generator) -> None:
    differ = options.keys() & {"top_k", "typical_p"}  # what the orders themselves define differently
    for order in ORDERS if differ else [str(rng.choice(list(ORDERS)))]:
        params = SamplingParams(**OFF | {"order": order} | options)
        right = outcomes(row, params, context)
        for tier in _sampling.tiers():
            rig = Rig(params, context, tier)
            found = rig.distribution(row)
            assert error_of(found, right) < TOLERANCE
        check_intervals(rig, row, found, right, rng)  # the draw is the same on every tier: test_sampling_kernels


def check_intervals(rig: Rig, row: Row, found: Floats, right: list[State], rng: np.random.Generator) -> None:
    if (found > 0).sum() <= FEW:
        intervals = rig.intervals(row)
        tokens = [interval.token for interval in intervals]
        assert len(set(tokens)) == len(tokens), "the numbers of one token lie apart"
        widths = dense(tokens, [interval.width for interval in intervals], len(row))
        assert error_of(widths, right) < TOLERANCE
        return
    points = np.concatenate([[0.0, 1.0 - 2.0**-53], rng.random(3)])
    intervals = rig.intervals_around(row, points)
    assert {interval.low for interval in intervals} >= {0.0} or min(i.low for i in intervals) < TOLERANCE
    errors = [max(abs(state_shares[i.token] - i.width) for i in intervals) for state_shares in all_shares(right, row)]
    assert min(errors) < TOLERANCE


def all_shares(right: list[State], row: Row) -> list[Floats]:
    return [dense(state.ids, state.shares(), len(row)) for state in right]


@pytest.mark.parametrize(("stage", "options"), CASES)
def test_a_stage_alone_leaves_what_its_definition_leaves(stage: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(len(stage))
    for n_vocab, kinds in ((1, KINDS[:1]), (8, KINDS), (257, KINDS[:5]), (5003, KINDS), (32000, KINDS[:2])):
        for kind in kinds:
            check(make_row(kind, n_vocab, rng), options, HISTORY, rng)


@pytest.mark.parametrize(("hit", "uniform"), [(True, 0.0), (True, 0.25), (False, 0.2500001), (False, 0.999)])
def test_xtc_drops_the_best_as_often_as_it_is_told(hit: bool, uniform: float) -> None:
    rng = np.random.default_rng(1)
    params = SamplingParams(**OFF, xtc_probability=0.25, xtc_threshold=0.02)  # type: ignore[arg-type]
    for n_vocab in (9, 2000):
        row = make_row("flat", n_vocab, rng)
        row[[4, 2, 8]] = row.max() + 4.0
        context = Context(xtc_uniform=uniform)
        found = Rig(params, context).distribution(row)
        assert (found[[2, 4, 8]] == 0.0).tolist() == [hit, hit, False]
        right = outcomes(row, params, context)
        assert error_of(found, right) < TOLERANCE
        check_intervals(Rig(params, context), row, found, right, rng)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_a_mask_leaves_what_it_allows(share: float) -> None:
    rng = np.random.default_rng(2)
    for options in ({}, {"temperature": 0.0}, {"top_k": 40}, {"top_p": 0.9}, {"min_p": 0.05}, {"typical_p": 0.5}):
        for n_vocab in (1, 31, 32, 33, 256, 5003, 32000):
            row = make_row("peaked", n_vocab, rng)
            allowed = rng.random(n_vocab) < share
            allowed[rng.integers(n_vocab)] = True
            row[~allowed & (rng.random(n_vocab) < 0.1)] = np.nan  # what is not allowed is not looked at
            check(row, options, HISTORY._replace(allowed=allowed), rng)


@pytest.mark.parametrize("value", [np.inf, np.nan, 3e38])
def test_a_bias_of_minus_infinity_forbids_any_logit(value: float) -> None:
    for n_vocab in (300, 5000):
        row = make_row("peaked", n_vocab, np.random.default_rng(0))
        row[7] = value
        found = Rig(SamplingParams(**OFF | {"logit_bias": {7: -np.inf}})).distribution(row)
        assert found[7] == 0.0
        assert found.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("breakers", [[[6]], [[1, 3]], [[5], [3, 3, 6]], [[1], [1, 3, 3]], [[7]], [[6, 99], [2]]])
def test_dry_counts_no_repetition_across_a_breaker(breakers: list[list[int]]) -> None:
    rng = np.random.default_rng(3)
    for prompt in ([1, 3, 3, 6, 1, 3, 3, 6, 1, 3], [2, 3, 4, 5, 2, 3, 4], [6] * 9, [5, 3, 3, 6, 1, 5, 3, 3, 6, 1]):
        context = Context(prompt=prompt, breakers=breakers)
        for length in (1, 2):
            options = {"dry_multiplier": 1.5, "dry_allowed_length": length}
            check(make_row("flat", 9, rng), options, context, rng)


def test_dry_finds_the_longest_repetition_in_any_history() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        letters = int(rng.integers(1, 5))
        prompt = rng.integers(0, letters, rng.integers(0, 60)).tolist()
        breakers = [rng.integers(0, letters, rng.integers(1, 4)).tolist() for _ in range(rng.integers(0, 3))]
        context = Context(prompt=prompt, breakers=breakers)
        params = SamplingParams(
            **OFF,  # type: ignore[arg-type]
            dry_multiplier=0.7,
            dry_base=1.3,
            dry_allowed_length=int(rng.integers(1, 5)),
            dry_window=int(rng.choice([-1, 10, 30])),
        )
        row = make_row("flat", 6, rng)
        assert error_of(Rig(params, context).distribution(row), outcomes(row, params, context)) < TOLERANCE


@pytest.mark.parametrize("n_vocab", [50, 1000, 32000])
@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_mirostat_moves_its_bound_by_the_surprise_of_each_token(n_vocab: int, tau: float) -> None:
    rng = np.random.default_rng(5)
    params = SamplingParams(mirostat=2, mirostat_tau=tau, mirostat_eta=0.3, temperature=0.8, top_k=2, top_p=0.1)
    sequence, mu = Rig(params).sequence(), 2 * tau
    for _step in range(40):
        row = make_row(str(rng.choice(["peaked", "flat"])), n_vocab, rng)
        right = outcomes(row, params, Context(mirostat_mu=mu))
        found = dense(*_sampling.distribution(sequence, row[None]), n_vocab)
        assert error_of(found, right) < TOLERANCE
        token = _sampling.sample([sequence], row[None], uniforms=rng.random((1, 2)))[0]
        mu -= 0.3 * (-np.log2(found[token]) - tau)
        assert sequence.mirostat_mu == pytest.approx(mu, abs=1e-5)
        mu = sequence.mirostat_mu


@pytest.mark.parametrize("tier", _sampling.tiers())
def test_what_typical_keeps_far_below_the_largest_logit_stays_at_any_temperature(tier: str) -> None:
    rng = np.random.default_rng(5)
    row = rng.standard_normal(3000).astype(np.float32) * 2
    options = OFF | {"order": "llama.cpp", "typical_p": 0.2, "temperature": 0.002}
    rig = Rig(SamplingParams(**options), tier=tier)
    kept = np.flatnonzero(rig.distribution(row))
    assert int(row.argmax()) not in kept
    assert set(rig.draw(row, np.array([0.0, 0.5, 0.999]))) <= set(kept)
