"""Sampling parameters are checked in one place, and errors name the field."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edgellm.bundle.plan import SamplingDefaults
from edgellm.errors import UsageError
from edgellm_runtimes.sampling import SamplingParams, sampling_params


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "0.5"),
        ("temperature", True),
        ("temperature", None),
        ("top_k", -1),
        ("top_k", 1.5),
        ("top_p", 1.01),
        ("min_p", -1e-9),
        ("repetition_penalty", 0.0),
        ("repetition_window", -2),
        ("frequency_penalty", 2.5),
        ("presence_penalty", -2.5),
        ("seed", -1),
        ("seed", 2**63),
        ("max_tokens", 0),
        ("max_tokens", 2**31),
        ("ignore_eos", 1),
        ("penalize_prompt", None),
        ("dynamic_temperature_range", -1.0),
        ("dynamic_temperature_exponent", math.inf),
        ("typical_p", 1.5),
        ("typical_p", math.nan),
        ("top_n_sigma", -0.5),
        ("xtc_probability", 1.1),
        ("xtc_threshold", -0.1),
        ("mirostat", 1),
        ("mirostat", 3),
        ("mirostat_tau", math.nan),
        ("mirostat_eta", 2.0),
        ("dry_multiplier", -0.8),
        ("dry_base", 0.5),
        ("dry_allowed_length", 0),
        ("dry_window", -2),
        ("dry_window", 2**24 + 1),
        ("logprobs", -1),
        ("logprobs", 1001),
        ("order", "alphabetical"),
        ("order", None),
        ("logprob_scope", "all"),
        ("top_k", 2**31),
        ("top_k", 10**30),
        ("seed", 10**30),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        SamplingParams(**{field: value})
    assert field in caught.value.message
    assert repr(value) in caught.value.message or str(value) in caught.value.message


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k", "seed", "max_tokens", "dry_window", "logprobs"])
@pytest.mark.parametrize("digits", [400, 5000])  # Python turns the first into no float, the second into no text
def test_a_number_too_large_for_anything_is_refused_like_any_other(field: str, digits: int) -> None:
    for value in (10**digits, -(10**digits)):
        with pytest.raises(UsageError, match=f"{field} is"):
            SamplingParams(**{field: value})
        with pytest.raises(UsageError, match="logit_bias"):
            SamplingParams(logit_bias={1: value})
        with pytest.raises(UsageError, match="logit_bias"):
            SamplingParams(logit_bias={value: 1.0})


@pytest.mark.parametrize(
    "bias",
    [
        {-1: 1.0},
        {2**31: 1.0},
        {1.0: 1.0},
        {"1": 1.0},
        {True: 1.0},
        {1: math.nan},
        {1: math.inf},
        {1: 1e7},
        {1: -1e7},
        {1: "2"},
        {1: None},
        {1: True},
        [(1, 1.0)],
        None,
        dict.fromkeys(range(4097), 0.0),
    ],
)
def test_what_is_no_bias_of_a_token_is_refused(bias: Any) -> None:
    with pytest.raises(UsageError, match="logit_bias"):
        SamplingParams(logit_bias=bias)


@pytest.mark.parametrize(
    "breakers", [["\n"], "\n", None, ("",), ("a" * 41,), ("ä" * 21,), (b"a",), (1,), ("\ud800",), ("x",) * 65]
)
def test_what_are_no_breakers_is_refused(breakers: Any) -> None:
    with pytest.raises(UsageError, match="dry_breakers"):
        SamplingParams(dry_breakers=breakers)


def test_the_borders_are_allowed() -> None:
    SamplingParams(temperature=0, top_k=0, top_p=0, min_p=1, seed=0, max_tokens=1, repetition_window=0)
    SamplingParams(temperature=100, top_k=2**31 - 1, top_p=1, min_p=0, seed=2**63 - 1, max_tokens=2**31 - 1)
    SamplingParams(typical_p=0, top_n_sigma=1000, xtc_probability=1, xtc_threshold=1, mirostat=2, mirostat_tau=0)
    SamplingParams(repetition_penalty=0.01, frequency_penalty=-2, presence_penalty=2, repetition_window=-1)
    SamplingParams(dry_multiplier=100, dry_base=1, dry_allowed_length=2**31 - 1, dry_window=-1, logprobs=1000)
    SamplingParams(logit_bias={0: -math.inf, 2**31 - 1: 1e6, 5: -1e6, 6: 3}, dry_breakers=("a" * 40, "ä" * 20))
    SamplingParams(dry_breakers=(), logprobs=0, dynamic_temperature_range=100, dynamic_temperature_exponent=0)


def test_chosen_values_go_before_the_models_and_ours() -> None:
    defaults = SamplingDefaults(temperature=0.2, top_p=0.5)
    params = sampling_params(defaults, temperature=0.9, seed=None)
    assert (params.temperature, params.top_p, params.seed) == (0.9, 0.5, None)


def test_a_model_with_filters_of_its_own_gets_none_of_ours() -> None:
    params = sampling_params(SamplingDefaults(top_p=0.9))
    assert (params.top_k, params.min_p) == (0, 0.0)
    assert sampling_params(None).top_k == SamplingParams().top_k


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="'topk'"):
        sampling_params(None, topk=3)
