"""The table of sampling parameters is what the parameters are."""

from __future__ import annotations

import math

import pytest

from edgellm.errors import UsageError
from edgellm_runtimes.sampling import ORDERS, SamplingParams
from edgellm_runtimes.sampling_table import PARAMETERS, Parameter

NUMBERS = [parameter for parameter in PARAMETERS if parameter.kind in ("whole", "number")]
FIELDS = SamplingParams.__struct_fields__


def test_every_field_is_in_the_table_once() -> None:
    assert sorted(parameter.name for parameter in PARAMETERS) == sorted(FIELDS)


def test_the_words_of_order_are_the_orders_that_there_are() -> None:
    assert next(parameter.words for parameter in PARAMETERS if parameter.name == "order") == tuple(ORDERS)


@pytest.mark.parametrize("parameter", NUMBERS, ids=lambda parameter: parameter.name)
def test_both_ends_are_allowed_and_what_is_beyond_them_is_not(parameter: Parameter) -> None:
    for allowed in (parameter.low, parameter.high):
        assert getattr(SamplingParams(**{parameter.name: allowed}), parameter.name) == allowed
    if parameter.kind == "whole":
        beyond: list[float] = [parameter.low - 1, parameter.high + 1]
    else:
        beyond = [math.nextafter(parameter.low, -math.inf), math.nextafter(parameter.high, math.inf), math.nan]
    for refused in beyond:
        with pytest.raises(UsageError, match=parameter.name):
            SamplingParams(**{parameter.name: refused})


@pytest.mark.parametrize("parameter", NUMBERS, ids=lambda parameter: parameter.name)
def test_none_is_a_value_only_where_the_table_says_so(parameter: Parameter) -> None:
    if parameter.optional:
        assert getattr(SamplingParams(**{parameter.name: None}), parameter.name) is None
    else:
        with pytest.raises(UsageError, match=parameter.name):
            SamplingParams(**{parameter.name: None})


def test_a_meaning_is_one_line_and_a_sentence() -> None:
    for parameter in PARAMETERS:
        assert "\n" not in parameter.meaning
        assert parameter.meaning.endswith(".")
        assert len(parameter.meaning) <= 80
