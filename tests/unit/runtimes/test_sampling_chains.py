"""Chains of any stages in any of the three orders, on any row, against their definitions in float64.

EDGELLM_SAMPLING_EXAMPLES=5000 looks for longer, at other examples each time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edgellm_runtimes import _sampling
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.sampling import ORDERS, SamplingParams
from sampling_reference import Context, Row, TooCloseError, dense, edited, error_of, outcomes
from sampling_rig import KINDS, OFF, Rig, make_row

TOLERANCE = 1e-6
EXAMPLES = int(os.environ.get("EDGELLM_SAMPLING_EXAMPLES", "0"))
SIZES = [1, 2, 15, 16, 17, 255, 256, 257, 1000, 1023, 1024, 1025, 2049, 5003, 32000]
LARGE = 151936

searching = settings(
    max_examples=EXAMPLES or 400,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def numbers(low: float, high: float, *special: float) -> st.SearchStrategy[float]:
    """Nothing so small that it is lost when it is added to a logit: the definition has more digits than the kernels."""
    return st.one_of(
        st.sampled_from([low, high, *special]),
        st.floats(low, high).map(lambda value: value if abs(value) > 1e-30 else 0.0),
    )


STAGES: dict[str, st.SearchStrategy[Any]] = {
    "temperature": numbers(0.05, 5.0, 1.0, 0.0, 0.8),
    "dynamic_temperature_range": numbers(0.0, 2.0),
    "dynamic_temperature_exponent": numbers(0.25, 3.0),
    "top_k": st.one_of(st.sampled_from([1, 2, 40, 1023, 1024, 1025, 40000]), st.integers(1, 3000)),
    "top_p": numbers(0.0, 1.0, 0.0, 0.5, 0.95, 0.999),
    "min_p": numbers(0.0, 1.0, 0.05, 1.0, 1e-5),
    "typical_p": numbers(0.0, 1.0, 0.0, 0.2, 0.95),
    "top_n_sigma": numbers(0.0, 5.0, 1.0),
    "xtc_probability": st.sampled_from([0.5, 1.0]),
    "xtc_threshold": numbers(0.0, 0.5, 0.1, 0.01, 0.0),
}
EDITS: dict[str, st.SearchStrategy[Any]] = {
    "logit_bias": st.dictionaries(st.integers(0, 20), numbers(-50.0, 50.0, -np.inf, 3.0, 1e6), max_size=5),
    "repetition_penalty": numbers(0.1, 3.0, 1.1),
    "frequency_penalty": numbers(-2.0, 2.0),
    "presence_penalty": numbers(-2.0, 2.0),
    "repetition_window": st.sampled_from([-1, 0, 1, 7, 64]),
    "penalize_prompt": st.booleans(),
    "dry_multiplier": numbers(0.0, 5.0, 0.8),
    "dry_base": numbers(1.0, 3.0, 1.75),
    "dry_allowed_length": st.integers(1, 4),
    "dry_window": st.sampled_from([-1, 0, 5, 100]),
}
TOKENS = st.lists(st.integers(-1, 9), max_size=40)
CHAINS = st.fixed_dictionaries({"order": st.sampled_from(list(ORDERS))}, optional=STAGES)
MIROSTATS = st.fixed_dictionaries(
    {"mirostat": st.just(2), "mirostat_tau": numbers(0.0, 12.0), "temperature": numbers(0.2, 3.0, 1.0)}
)
HISTORIES = st.builds(
    Context,
    prompt=TOKENS,
    generated=TOKENS,
    breakers=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), max_size=3),
    xtc_uniform=st.sampled_from([0.0, 0.5, 0.51]),
    allowed=st.none(),
    mirostat_mu=st.none(),
)


def check(row: Row, options: dict[str, Any], context: Context, rng: np.random.Generator) -> None:
    """Equal to the definition, on every tier to the last bit, and drawn accordingly; the row stays as it is."""
    params = SamplingParams(**OFF | options)
    before = row.copy()
    row.setflags(write=False)
    right = outcomes(row, params, context)
    rigs = [Rig(params, context, tier) for tier in _sampling.tiers()]
    found = [rig.distribution(row) for rig in rigs]
    assert error_of(found[0], right) < TOLERANCE
    assert all((other == found[0]).all() for other in found)
    points = rng.random(64)
    drawn = [rig.draw(row, points) for rig in rigs]
    assert all((other == drawn[0]).all() for other in drawn)
    check_intervals(rigs[0], row, found[0], points[:3])
    assert np.array_equal(row, before, equal_nan=True)


def check_intervals(rig: Rig, row: Row, shares: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> None:
    if (shares > 0).sum() <= 12:
        intervals = rig.intervals(row)
        widths = dense([i.token for i in intervals], [i.width for i in intervals], len(row))
        assert len({interval.token for interval in intervals}) == len(intervals)
        assert np.abs(widths - shares).max() < TOLERANCE
    else:
        assert all(abs(i.width - shares[i.token]) < TOLERANCE for i in rig.intervals_around(row, points))


def check_if_decided(row: Row, options: dict[str, Any], context: Context, rng: np.random.Generator) -> None:
    assume((edited(row, SamplingParams(**OFF | options), context) > -np.inf).any())
    try:
        check(row, options, context, rng)
    except TooCloseError:
        assume(False)


def masked(row: Row, context: Context, share: float, rng: np.random.Generator) -> Context:
    if share == 1.0:
        return context
    allowed = rng.random(len(row)) < share
    allowed[rng.integers(len(row))] = True
    row[~allowed & (rng.random(len(row)) < 0.05)] = np.nan
    return context._replace(allowed=allowed)


@searching
@given(
    st.sampled_from(SIZES),
    st.sampled_from(KINDS),
    st.one_of(CHAINS, CHAINS, CHAINS, MIROSTATS),
    st.fixed_dictionaries({}, optional=EDITS),
    HISTORIES,
    st.sampled_from([0.02, 0.5, 0.9, 1.0, 1.0, 1.0]),
    st.integers(0, 2**32),
)
def test_any_chain_leaves_what_its_definition_leaves(
    n_vocab: int, kind: str, chain: dict[str, Any], edits: dict[str, Any], history: Context, allowed: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    row = make_row(kind, n_vocab, rng)
    check_if_decided(row, edits | chain, masked(row, history, allowed, rng), rng)


@settings(searching, max_examples=max(30, EXAMPLES // 10))
@given(st.sampled_from(KINDS), CHAINS, st.sampled_from([0.1, 1.0]), st.integers(0, 2**32))
def test_any_chain_on_a_large_vocabulary(kind: str, chain: dict[str, Any], allowed: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = make_row(kind, LARGE, rng)
    check_if_decided(row, chain, masked(row, Context(), allowed, rng), rng)


def test_dynamic_temperature_counts_without_what_xtc_dropped() -> None:
    rng = np.random.default_rng(0)
    options = {"dynamic_temperature_range": 1.0, "xtc_probability": 1.0, "xtc_threshold": 0.05}
    for n_vocab in (5, 8, 300, 2000):
        row = make_row("flat", n_vocab, rng)
        row[:4] = row.max() + 5.0
        check(row, options, Context(), rng)


def test_logits_that_are_huge_or_next_to_nothing() -> None:
    rng = np.random.default_rng(1)
    options: list[dict[str, Any]] = [{}, {"top_k": 7}, {"min_p": 0.1}, {"temperature": 0.3}]
    by_mass: list[dict[str, Any]] = [{"top_p": 0.5}, {"typical_p": 0.9}]  # where exp tells all logits apart
    for scale, chains in ((3e38, options + by_mass), (1e20, options + by_mass), (1e-20, options), (1e-44, options)):
        for n_vocab in (9, 300, 5003):
            row = (rng.uniform(-1, 1, n_vocab) * scale).astype(np.float32)
            for chain in chains:
                check(row.copy(), chain, Context(), rng)


@pytest.fixture(scope="module")
def recorded_rows(tiny_gguf: Path) -> list[Row]:
    """What a real model says after each token of a text."""
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64, batch=32, ubatch=32))
    try:
        text = "Friends, Romans, countrymen, lend me your ears; I come to bury"
        tokens = backend.vocabulary.tokenize(text, add_special=True, parse_special=False)
        rows = []
        for token in tokens:
            rows.append(backend.decode([TokenSlice(0, [token])])[0].copy())
        return rows
    finally:
        backend.close()


@pytest.mark.parametrize("order", ORDERS)
def test_any_chain_on_rows_of_a_real_model(recorded_rows: list[Row], order: str) -> None:
    rng = np.random.default_rng(2)
    chains: list[dict[str, Any]] = [
        {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8},
        {"temperature": 1.3},
        {"temperature": 2.0, "top_p": 0.98},
        {"typical_p": 0.7, "temperature": 0.9},
        {"top_n_sigma": 1.5, "temperature": 1.5},
        {"min_p": 0.02, "xtc_probability": 1.0, "dynamic_temperature_range": 0.4},
        {"mirostat": 2, "mirostat_tau": 4.0},
    ]
    for row in recorded_rows:
        for chain in chains:
            check(row.copy(), chain | {"order": order}, Context(), rng)
