"""Samplers against the formulas written out in numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edgellm.errors import BackendError
from edgellm_runtimes.sampler import create_sampler
from edgellm_runtimes.sampling import SamplingParams

N_VOCAB = 500
PROMPT = [3, 3, 8, 200]


def logits(seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 3, N_VOCAB).astype(np.float32)


def draw(params: SamplingParams, rows: list[npt.NDArray[np.float32]], prompt: list[int] | None = None) -> list[int]:
    sampler = create_sampler(params, prompt or [])
    return [sampler.sample(row) for row in rows]


def plain(**changes: float) -> SamplingParams:
    return SamplingParams(**{"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 1, **changes})


def test_at_temperature_zero_the_largest_is_taken() -> None:
    rows = [logits(seed) for seed in range(20)]
    assert draw(SamplingParams(temperature=0), rows) == [int(row.argmax()) for row in rows]


@pytest.mark.parametrize("window", [2, 10])
def test_penalties_follow_their_formulas(window: int) -> None:
    params = SamplingParams(
        temperature=0, repetition_penalty=1.7, frequency_penalty=0.9, presence_penalty=0.4, repetition_window=window
    )
    # a close race, so that the penalties decide
    rows = [np.float32(0.2) * logits(1) + np.float32(0.01) * logits(seed) for seed in range(40)]
    history, expected = list(PROMPT), []
    for row in rows:
        scores = row.copy()
        recent = history[-window:]
        for token in set(recent):
            scores[token] = scores[token] * 1.7 if scores[token] <= 0 else scores[token] / 1.7
            scores[token] -= recent.count(token) * 0.9 + 0.4
        expected.append(int(scores.argmax()))
        history.append(expected[-1])
    assert draw(params, rows, PROMPT) == expected
    assert expected != [int(row.argmax()) for row in rows]


def test_top_k_keeps_the_k_most_likely() -> None:
    row = logits(0)
    allowed = set(np.argsort(row)[-5:].tolist())
    assert set(draw(plain(top_k=5, temperature=10), [row] * 300)) == allowed


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    row = logits(0)
    probabilities = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
    order = np.argsort(-probabilities)
    count = int(np.searchsorted(np.cumsum(probabilities[order]), 0.6)) + 1
    drawn = set(draw(plain(top_p=0.6), [row] * 400))
    assert drawn <= set(order[:count].tolist())
    assert len(drawn) > 1


def test_min_p_drops_what_is_far_below_the_best() -> None:
    row = logits(0)
    allowed = set(np.flatnonzero(row >= row.max() + np.log(0.2)).tolist())
    assert set(draw(plain(min_p=0.2), [row] * 400)) <= allowed


def test_the_distribution_is_the_softmax_at_the_temperature() -> None:
    row = np.full(N_VOCAB, -50, np.float32)
    row[[10, 20, 30]] = [0.0, 1.0, 2.0]
    weights = np.exp(np.array([0.0, 1.0, 2.0]) / 2)
    n_draws = 20_000
    drawn = np.array(draw(plain(temperature=2.0), [row] * n_draws))
    for token, share in zip((10, 20, 30), weights / weights.sum(), strict=True):
        deviation = np.sqrt(share * (1 - share) / n_draws)
        assert abs((drawn == token).mean() - share) < 5 * deviation


def test_a_logit_that_is_not_a_number_is_an_error() -> None:
    row = logits(0)
    row[77] = np.nan
    for params in (SamplingParams(temperature=0), plain()):
        with pytest.raises(BackendError, match="not numbers"):
            draw(params, [row])


def test_logits_that_forbid_everything_are_an_error() -> None:
    row = np.full(N_VOCAB, -np.inf, np.float32)
    for params in (SamplingParams(temperature=0), plain(), SamplingParams()):
        with pytest.raises(BackendError, match="no token is left"):
            draw(params, [row])


def test_infinite_logits_share_the_probability() -> None:
    row = logits(0)
    row[[7, 77]] = np.inf
    assert set(draw(plain(), [row] * 100)) == {7, 77}
    assert draw(SamplingParams(temperature=0), [row]) == [7]


def test_the_seed_decides_alone() -> None:
    rows = [logits(seed) for seed in range(30)]
    assert draw(plain(seed=5), rows) == draw(plain(seed=5), rows)
    assert draw(plain(seed=5), rows) != draw(plain(seed=6), rows)
    # 2**32 - 1 means "random" to llama.cpp; here it is a seed like any other
    assert draw(plain(seed=2**32 - 1), rows) == draw(plain(seed=2**32 - 1), rows)


def test_the_row_is_not_changed() -> None:
    row = logits(0)
    before = row.copy()
    draw(plain(top_k=3), [row])
    assert (row == before).all()
