"""The largest logit: its first place, and whether a NaN is anywhere, whatever else the row holds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edgellm_runtimes import _sampling
from edgellm_runtimes.sampler import native_parameters
from edgellm_runtimes.sampling import SamplingParams
from sampling_rig import mask_words

N_VOCAB = 5003  # two stretches of eight blocks, and a part of a third
NOT_A_NUMBER = -1

Floats = npt.NDArray[np.float32]

HOSTILE: dict[str, list[float]] = {
    "of both signs": [np.inf, -np.inf],
    "infinity and zero": [np.inf, 0.0],
    "minus infinity and numbers": [-np.inf, 1.0, -1.0, 0.0],
    "too large to multiply": [3e38, -3e38, 2e19, -2e19],
    "too small to multiply": [1e-45, -1e-45, 1e-38],
    "zeros": [0.0, -0.0],
    "below zero": [-1.0, -2.0, -3e38],
}


def greedy(tier: str, row: Floats, mask: npt.NDArray[np.uint32] | None = None, *, is_bare: bool = True) -> int:
    """What is chosen: by the maximum alone, or by the maxima of blocks."""
    params = SamplingParams(temperature=0.0) if is_bare else SamplingParams(temperature=0.0, logprobs=1)
    [token] = _sampling.sample([_sampling.Sequence(native_parameters(params, 0))], row[None], mask, tier=tier)
    return token


def rows_of(values: list[float]) -> list[Floats]:
    rng = np.random.default_rng(len(values))
    return [rng.choice(np.array(values, np.float32), N_VOCAB).astype(np.float32) for _ in range(5)]


@pytest.mark.parametrize("is_bare", [True, False])
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("tier", _sampling.tiers())
def test_no_product_or_sum_of_logits_is_taken_for_nan(tier: str, kind: str, is_bare: bool) -> None:
    for row in rows_of(HOSTILE[kind]):
        assert greedy(tier, row, is_bare=is_bare) == int(row.argmax())


@pytest.mark.parametrize("is_bare", [True, False])
@pytest.mark.parametrize("tier", _sampling.tiers())
def test_a_nan_is_seen_at_every_place_whatever_is_around_it(tier: str, is_bare: bool) -> None:
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(N_VOCAB, np.float32)
    infinite = np.where(rng.random(N_VOCAB) < 0.5, np.float32(np.inf), np.float32(-np.inf))
    for around in (normal, normal - 10, infinite):
        for place in (*range(520), *range(520, N_VOCAB, 37), N_VOCAB - 1):
            row = around.copy()
            row[place] = np.nan if place % 2 else -np.nan
            assert greedy(tier, row, is_bare=is_bare) == NOT_A_NUMBER, place


@pytest.mark.parametrize("tier", _sampling.tiers())
def test_a_nan_that_is_not_allowed_is_none(tier: str) -> None:
    rng = np.random.default_rng(1)
    for share in (0.001, 0.02, 0.5, 0.99):
        row = rng.standard_normal(N_VOCAB, np.float32)
        allowed = rng.random(N_VOCAB) < share
        allowed[17] = True
        row[~allowed] = rng.choice(np.array([np.nan, -np.nan, np.inf], np.float32), int((~allowed).sum()))
        expected = int(np.where(allowed, row, -np.inf).argmax())
        assert greedy(tier, row, mask_words(allowed)) == expected
        row[int(np.flatnonzero(allowed)[-1])] = np.nan
        assert greedy(tier, row, mask_words(allowed)) == NOT_A_NUMBER


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tier", _sampling.tiers())
def test_of_equal_logits_the_first_one_is_chosen_wherever_it_is(tier: str, masked: bool) -> None:
    rng = np.random.default_rng(2)
    row = rng.standard_normal(N_VOCAB, np.float32)
    mask = mask_words(np.arange(N_VOCAB) % 3 != 1) if masked else None
    for first in (*range(0, 600, 3), *range(2040, 2060, 1), N_VOCAB - 1):
        if masked and first % 3 == 1:
            continue
        tied = row.copy()
        tied[first] = 9.0
        tied[first + 1 :][rng.random(N_VOCAB - first - 1) < 0.01] = 9.0
        if first % 3 == 0 and masked and first:
            tied[first - 2] = 9.0  # 1 more than a multiple of 3: not allowed
        assert greedy(tier, tied, mask) == first
