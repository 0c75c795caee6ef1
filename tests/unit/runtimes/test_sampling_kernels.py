"""The sampling kernels: every stage by its definition in float64, on every instruction set, in any batch."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgellm.errors import UsageError
from edgellm_runtimes import _sampling
from edgellm_runtimes.sampler import Sampler, create_sampler, native_parameters, sample_rows
from edgellm_runtimes.sampling import ORDERS, SamplingParams

Floats = npt.NDArray[np.float64]
OFF: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
CHOICES: dict[str, list[Any]] = {
    "temperature": [0.3, 0.8, 1.7],
    "top_k": [1, 5, 40, 200, 1500, 30000],
    "top_p": [0.1, 0.5, 0.9, 0.95, 0.999],
    "min_p": [0.001, 0.05, 0.3],
    "typical_p": [0.2, 0.5, 0.9],
    "top_n_sigma": [0.5, 1.0, 3.0],
    "dynamic_temperature_range": [0.25],
}


def single(value: float) -> float:
    """What a float32 parameter is in float64."""
    return float(np.float32(value))


def softmax(logits: Floats, scale: float) -> Floats:
    weights = np.exp((logits - logits.max()) * scale)
    return np.asarray(weights / weights.sum())


def expected(row: npt.NDArray[np.float32], params: SamplingParams) -> tuple[npt.NDArray[np.int64], Floats]:
    """Tokens and probabilities that the stages of ``params`` leave of ``row``."""
    order = np.lexsort((np.arange(len(row)), -row))
    ids, logits, scale = order, row.astype(np.float64)[order], 1.0
    for stage in ORDERS[params.order]:
        keep: Any = slice(None)
        if stage == "temperature":
            temperature = single(params.temperature)
            if params.dynamic_temperature_range and len(logits) > 1:
                share = softmax(logits, scale)
                entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
                low = max(0.0, temperature - params.dynamic_temperature_range)
                high = temperature + params.dynamic_temperature_range
                temperature = low + (high - low) * entropy / np.log(len(logits))
            scale /= temperature
        elif stage == "top_k" and params.top_k:
            keep = slice(params.top_k)
        elif stage == "top_p" and params.top_p < 1:
            keep = slice(int(np.searchsorted(np.cumsum(softmax(logits, scale)), single(params.top_p))) + 1)
        elif stage == "min_p" and params.min_p:
            share = softmax(logits, scale)
            keep = share >= single(params.min_p) * share[0]
        elif stage == "typical_p" and params.typical_p < 1:
            share = softmax(logits, scale)
            surprise = -np.log(np.maximum(share, 1e-300))
            away = np.abs(surprise - (share * surprise).sum())
            near = np.lexsort((np.arange(len(away)), away))
            count = int(np.searchsorted(np.cumsum(share[near]), single(params.typical_p), side="right")) + 1
            keep = np.sort(near[:count])
        elif stage == "top_n_sigma" and params.top_n_sigma:
            keep = logits >= logits[0] - single(params.top_n_sigma) * logits.std()
        ids, logits = ids[keep], logits[keep]
    return ids, softmax(logits, scale)


def logits_of(kind: str, n_vocab: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    row = rng.standard_normal(n_vocab) * (1.5 if kind == "flat" else 3.0)
    if kind == "peaked":
        row[rng.integers(0, n_vocab, 50)] += rng.uniform(0, 18, 50)
    return row.astype(np.float32) + np.float32(20.0 if kind == "offset" else 0.0)


@pytest.mark.parametrize("seed", range(60))
def test_any_chain_leaves_what_its_definition_leaves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for n_vocab in (1, 7, 255, 256, 257, 1000, 5003, 32000):
        row = logits_of(str(rng.choice(["peaked", "flat", "offset"])), n_vocab, rng)
        chosen = {name: values[rng.integers(len(values))] for name, values in CHOICES.items() if rng.random() < 0.35}
        params = SamplingParams(**OFF | chosen, order=list(ORDERS)[seed % 3])  # type: ignore[arg-type]
        sequence = _sampling.Sequence(native_parameters(params, 1))
        found = [_sampling.distribution(sequence, row[None], tier=tier) for tier in _sampling.tiers()]
        assert all(other == found[0] for other in found)  # bit for bit
        ids, shares = expected(row, params)
        wanted, got = np.zeros(n_vocab), np.zeros(n_vocab)
        wanted[ids] = shares
        got[found[0][0]] = found[0][1]
        # A token on the border of a set may fall to either side: 1e-5 of a share decides.
        borders = np.flatnonzero((wanted > 1e-12) != (got > 1e-12))
        assert len(borders) <= 2
        assert np.abs(wanted - got).max() < (
            1e-6 if not len(borders) else 2 * max(wanted[borders].max(), got[borders].max()) + 1e-6
        )


@pytest.mark.parametrize("n_vocab", [300, 32000])
@pytest.mark.parametrize("options", [{}, {"top_k": 40}, {"top_p": 0.9}, {"min_p": 0.02}])
def test_uniforms_fall_into_the_intervals_of_the_distribution(n_vocab: int, options: dict[str, Any]) -> None:
    row = logits_of("flat", n_vocab, np.random.default_rng(3))
    params = SamplingParams(**OFF | options)
    sequence = _sampling.Sequence(native_parameters(params, 1))
    ids, shares = _sampling.distribution(sequence, row[None])
    by_token = dict(zip(ids, shares, strict=True))
    draws = 4000
    points = (np.arange(draws) + 0.5) / draws
    counts: dict[int, int] = {}
    for point in points:
        token = _sampling.sample([sequence], row[None], uniforms=np.array([[point, 0.0]]), accept=False)[0]
        counts[token] = counts.get(token, 0) + 1
    assert all(abs(counts.get(token, 0) - share * draws) <= 1.01 for token, share in by_token.items())
    assert set(counts) <= set(by_token)


def test_a_batch_is_its_rows_for_any_number_of_threads() -> None:
    rng = np.random.default_rng(1)
    rows = np.stack([logits_of("peaked", 70001, rng) for _ in range(9)])
    before = rows.copy()
    options = [OFF, {"top_k": 40}, OFF | {"top_p": 0.9}, OFF | {"min_p": 0.1}, {"temperature": 0.0}]

    def fresh() -> list[Sampler]:
        return [create_sampler(SamplingParams(**options[i % 5], seed=i), [1, 2, 3]) for i in range(9)]

    alone = [sampler.sample(row) for sampler, row in zip(fresh(), rows, strict=True)]
    for threads in (1, 2, 4):
        assert sample_rows(fresh(), rows, threads=threads) == alone
    assert (rows == before).all()


def test_a_mask_forbids() -> None:
    rng = np.random.default_rng(2)
    row = logits_of("flat", 1003, rng)
    allowed = rng.random(1003) < 0.1
    bits = np.packbits(np.pad(allowed, (0, 1024 - 1003)), bitorder="little").view(np.uint32)[None]
    for options in (OFF, {"top_k": 40}, OFF | {"top_p": 0.9}):
        sequence = _sampling.Sequence(native_parameters(SamplingParams(**options), 1))
        plain = np.where(allowed, row, -np.inf).astype(np.float32)
        assert _sampling.distribution(sequence, row[None], bits) == _sampling.distribution(sequence, plain[None])
    greedy = create_sampler(SamplingParams(temperature=0), [])
    assert sample_rows([greedy], row[None], bits) == [int(np.where(allowed, row, -np.inf).argmax())]


def test_a_tier_can_be_forced_and_an_unknown_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "from edgellm_runtimes import _sampling\n"
        "from edgellm_runtimes.sampler import create_sampler\nfrom edgellm_runtimes.sampling import SamplingParams\n"
        "from edgellm.errors import UsageError\n"
        "try:\n    create_sampler(SamplingParams(), []); print(_sampling.tier())\n"
        "except UsageError as error:\n    print(error.message)\n"
    )
    for tier in (*_sampling.tiers(), "abacus"):
        environment = os.environ | {"EDGELLM_SAMPLING_TIER": tier}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        said = done.stdout.strip()
        assert said == tier if tier != "abacus" else "abacus" in said and _sampling.tiers()[0] in said
    with pytest.raises(UsageError):
        SamplingParams(order="mine")  # type: ignore[arg-type]
