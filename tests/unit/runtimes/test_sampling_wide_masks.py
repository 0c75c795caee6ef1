"""A mask is as good as -inf in wide rows too, whatever is forbidden, and whatever stands there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgellm_runtimes import _sampling
from edgellm_runtimes.sampler import native_parameters
from edgellm_runtimes.sampling import SamplingParams
from sampling_rig import mask_words

N_VOCAB = 70_003  # enough blocks, and a part of one

Floats = npt.NDArray[np.float32]
Allowed = npt.NDArray[np.bool_]

CHAINS: dict[str, dict[str, Any]] = {
    "default": {},
    "greedy": {"temperature": 0.0, "logprobs": 5},
    "many": {"top_k": 200, "top_p": 1.0, "min_p": 0.0},
    "more than blocks": {"top_k": 1000, "top_p": 1.0, "min_p": 0.0},
    "min-p": {"top_k": 0, "top_p": 1.0, "min_p": 0.001},
    "top-p": {"top_k": 0, "top_p": 0.9, "min_p": 0.0},
    "typical": {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 0.5},
    "penalties": {"repetition_penalty": 8.0, "presence_penalty": 2.0, "repetition_window": 400},
    "bias": {"logit_bias": {7: 30.0, 69_000: -100.0}},
}


def half(row: Floats, rng: np.random.Generator) -> Allowed:
    return rng.random(N_VOCAB) < 0.5


def little(row: Floats, rng: np.random.Generator) -> Allowed:
    return rng.random(N_VOCAB) < 0.42


def without_the_largest(row: Floats, rng: np.random.Generator) -> Allowed:
    return np.argsort(np.argsort(-row)) >= N_VOCAB // 3


def without_most_of_the_largest(row: Floats, rng: np.random.Generator) -> Allowed:
    """Some are left, fewer than the chains keep."""
    return (np.argsort(np.argsort(-row)) >= 3000) | (rng.random(N_VOCAB) < 0.01)


def all_but_few(row: Floats, rng: np.random.Generator) -> Allowed:
    return rng.random(N_VOCAB) < 0.999


MASKS: list[Callable[[Floats, np.random.Generator], Allowed]] = [
    half,
    little,
    without_the_largest,
    without_most_of_the_largest,
    all_but_few,
]


def chosen(
    row: Floats,
    mask: npt.NDArray[np.uint32] | None,
    prompt: npt.NDArray[np.int32],
    chain: dict[str, Any],
    tier: str,
) -> list[int]:
    """Tokens, one after the other."""
    params = SamplingParams(**{"temperature": 0.8, **chain})
    sequence = _sampling.Sequence(native_parameters(params, 11))
    sequence.prompt(prompt)
    return [_sampling.sample([sequence], row[None], mask, tier=tier)[0] for _ in range(12)]


@pytest.mark.parametrize("make_mask", MASKS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("tier", _sampling.tiers())
def test_a_mask_is_as_good_as_minus_infinity(tier: str, chain: str, make_mask: Any) -> None:
    for seed, scale in enumerate((1.5, 4.0, 0.0)):
        rng = np.random.default_rng(seed)
        row = (scale * rng.standard_normal(N_VOCAB)).astype(np.float32)
        allowed = make_mask(row, rng)
        plain = np.where(allowed, row, np.float32(-np.inf))
        prompt = np.argsort(-row)[:300].astype(np.int32)
        expected = chosen(plain, None, prompt, CHAINS[chain], tier)
        for forbidden in (None, 3e38, np.inf, np.nan):
            if forbidden is not None:
                row = np.where(allowed, row, np.float32(forbidden))
            assert chosen(row, mask_words(allowed), prompt, CHAINS[chain], tier) == expected, (seed, forbidden)
