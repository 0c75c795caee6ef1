"""The uniform numbers behind the draws, and what is drawn with them: hundreds of thousands of tokens, counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgellm_runtimes import _sampling
from edgellm_runtimes.sampler import native_parameters
from edgellm_runtimes.sampling import SamplingParams
from sampling_reference import Context, Floats, Row, outcomes, single
from sampling_rig import OFF, make_row

DRAWS = 200_000
UNLIKELY = 4.0  # standard deviations: once in 30,000 such tests, and the seeds are fixed
Tokens = npt.NDArray[np.int64]


def surprise(counts: npt.NDArray[Any], expected: Floats) -> float:
    """Pearson's chi-square, as standard deviations from its mean (Wilson and Hilferty, PNAS 1931)."""
    assert expected.min() >= 10.0
    freedom = len(expected) - 1
    statistic = float(((counts - expected) ** 2 / expected).sum())
    spread = 2.0 / (9.0 * freedom)
    return float(((statistic / freedom) ** (1.0 / 3.0) - (1.0 - spread)) / np.sqrt(spread))


def bins_of(shares: Floats, draws: int) -> tuple[npt.NDArray[np.int64], int]:
    """A bin for each token: likely ones have their own, others share one with their neighbours."""
    bins, mass, number = np.zeros(len(shares), np.int64), 0.0, 0
    for token, share in enumerate(shares):
        bins[token] = number
        mass += float(share)
        if mass * draws >= 50.0:
            number, mass = number + 1, 0.0
    bins[bins == number] = number - 1  # what is left over joins the last bin
    return bins, number


def check_counts(tokens: Tokens, shares: Floats) -> None:
    assert (shares[tokens] > 0).all()
    bins, count = bins_of(shares, len(tokens))
    assert count > 20
    counts = np.bincount(bins[tokens], minlength=count)
    expected = np.bincount(bins, weights=shares, minlength=count) * len(tokens)
    assert abs(surprise(counts, expected)) < UNLIKELY


def shares_of(row: Row, params: SamplingParams, **context: Any) -> Floats:
    state = outcomes(row, params, Context(**context))[0]
    shares = np.zeros(len(row))
    shares[state.ids] = state.shares()
    return shares


def by_seed(params: SamplingParams, row: Row, draws: int, first_seed: int, position: int = 0) -> Tokens:
    """One token of each of many consecutive seeds, all at one position."""
    native = native_parameters(params, 0)
    tokens: list[int] = []
    for start in range(0, draws, 500):
        sequences = [_sampling.Sequence(native | {"seed": first_seed + start + i}) for i in range(500)]
        for _ in range(position):
            for sequence in sequences:
                sequence.accept(0)
        tokens += _sampling.sample(sequences, np.broadcast_to(row, (500, len(row))))
    return np.array(tokens)


def by_position(params: SamplingParams, row: Row, draws: int, seed: int) -> Tokens:
    """The tokens of one sequence."""
    sequence = _sampling.Sequence(native_parameters(params, seed))
    return np.array([_sampling.sample([sequence], row[None])[0] for _ in range(draws)])


# Where all logits are equal, token i of n is drawn when n * u lies in [i, i + 1).
TIED = np.zeros(64, np.float32)


def test_consecutive_seeds_draw_from_the_distribution() -> None:
    row = make_row("peaked", 32000, np.random.default_rng(1))
    params = SamplingParams(**OFF | {"temperature": 1.5})
    check_counts(by_seed(params, row, DRAWS, 2**32 - DRAWS // 2), shares_of(row, params))


@pytest.mark.parametrize(
    ("n_vocab", "options"),
    [
        (32000, {"temperature": 1.5}),  # over all blocks
        (32000, {"top_k": 50}),  # over a sorted list
        (5000, {"top_p": 0.9, "temperature": 3.0}),  # over stored weights
        (5000, {"typical_p": 0.8}),
        (700, {"mirostat": 2, "mirostat_tau": 8.0, "mirostat_eta": 0.0}),
    ],
)
def test_consecutive_positions_draw_from_the_distribution(n_vocab: int, options: dict[str, Any]) -> None:
    row = make_row("flat", n_vocab, np.random.default_rng(2))
    params = SamplingParams(**OFF | options)
    check_counts(by_position(params, row, DRAWS, 5), shares_of(row, params))


def test_xtc_strikes_as_often_as_it_is_told_and_draws_from_what_is_left() -> None:
    row = make_row("flat", 600, np.random.default_rng(3))
    row[[7, 77]] = row.max() + 2.0
    params = SamplingParams(**OFF | {"xtc_probability": 0.3, "xtc_threshold": 0.05})
    hit, missed = (shares_of(row, params, xtc_uniform=u) for u in (0.0, 1.0))
    assert hit[7] == 0.0 < missed[7]
    check_counts(by_position(params, row, DRAWS, 11), single(0.3) * hit + (1 - single(0.3)) * missed)


def pairs(tokens: Tokens) -> float:
    """How surprising the counts of all pairs of neighbours are, were they independent."""
    counts = np.bincount(tokens[::2] * 64 + tokens[1::2], minlength=64 * 64)
    return surprise(counts, np.full(64 * 64, len(tokens) / 2 / 64**2))


@pytest.mark.parametrize("position", [0, 3])
def test_neighbouring_seeds_are_independent(position: int) -> None:
    tokens = by_seed(SamplingParams(**OFF), TIED, DRAWS, 2**31, position)
    assert abs(pairs(tokens)) < UNLIKELY
    assert abs(pairs(tokens[1:-1])) < UNLIKELY


def test_neighbouring_positions_are_independent() -> None:
    tokens = by_position(SamplingParams(**OFF), TIED, DRAWS, 123)
    assert abs(pairs(tokens)) < UNLIKELY
    assert abs(pairs(tokens[1:-1])) < UNLIKELY


def test_the_draw_of_xtc_and_that_of_the_token_are_independent() -> None:
    row = TIED.copy()
    row[[0, 1]] = 8.0  # nearly all of the probability: a strike leaves token 1 and the rest
    params = SamplingParams(**OFF | {"xtc_probability": 0.5, "temperature": 2.0, "xtc_threshold": 0.1})
    hit, missed = (shares_of(row, params, xtc_uniform=u) for u in (0.0, 1.0))
    check_counts_of_few(by_position(params, row, DRAWS, 17), 0.5 * hit + 0.5 * missed)


def check_counts_of_few(tokens: Tokens, shares: Floats) -> None:
    counts = np.bincount(tokens, minlength=len(shares))
    assert abs(surprise(counts, shares * len(tokens))) < UNLIKELY


# Philox 4x32-10 as in Salmon et al., SC 2011.


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    a, b, c, d = counter
    k, m = key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (second >> 32) ^ b ^ k, second & 0xFFFFFFFF, (first >> 32) ^ d ^ m, first & 0xFFFFFFFF
        k, m = (k + 0x9E3779B9) & 0xFFFFFFFF, (m + 0xBB67AE85) & 0xFFFFFFFF
    return a, b, c, d


def test_the_generator_gives_the_numbers_that_its_authors_published() -> None:
    ones = 0xFFFFFFFF
    assert philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox((ones,) * 4, (ones, ones)) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
    assert philox(*pi) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def numbers(seed: int, positions: int) -> Iterator[tuple[float, float]]:
    """The numbers of the token and of XTC, from 53 bits each."""
    for position in range(positions):
        pair = []
        for stage in (0, 1):
            high, low, *_ = philox((position & 0xFFFFFFFF, position >> 32, stage, 0), (seed & 0xFFFFFFFF, seed >> 32))
            pair.append(((high << 32 | low) >> 11) * 2.0**-53)
        yield pair[0], pair[1]


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**63 - 1, 0x123456789ABCDEF])
def test_a_draw_is_a_function_of_seed_and_position(seed: int) -> None:
    row = np.zeros(65536, np.float32)
    sequence = _sampling.Sequence(native_parameters(SamplingParams(**OFF), seed))
    sequence.prompt(np.arange(7, dtype=np.int32))  # the prompt does not count
    drawn = [_sampling.sample([sequence], row[None])[0] for _ in range(40)]
    assert drawn == [int(token * 65536) for token, _ in numbers(seed, 40)]
    sequence.truncate(10)
    assert [_sampling.sample([sequence], row[None])[0] for _ in range(5)] == drawn[10:15]


def test_the_draw_of_xtc_is_a_function_of_seed_and_position_too() -> None:
    row = np.full(3, 9.0, np.float32)  # a strike leaves the last one
    params = SamplingParams(**OFF | {"xtc_probability": 0.5, "xtc_threshold": 0.2})
    sequence = _sampling.Sequence(native_parameters(params, 77))
    drawn = [_sampling.sample([sequence], row[None])[0] for _ in range(200)]
    assert drawn == [2 if xtc <= 0.5 else int(token * 3) for token, xtc in numbers(77, 200)]
