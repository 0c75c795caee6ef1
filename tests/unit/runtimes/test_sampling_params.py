"""Sampling parameters are checked in one place, and errors name the field."""

from __future__ import annotations

import math

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
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        SamplingParams(**{field: value})
    assert field in caught.value.message
    assert repr(value) in caught.value.message or str(value) in caught.value.message


def test_the_borders_are_allowed() -> None:
    SamplingParams(temperature=0, top_k=0, top_p=0, min_p=1, seed=0, max_tokens=1, repetition_window=0)


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
