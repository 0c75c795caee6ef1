"""Every sampling parameter can be given on the command line of `edgellm run`."""

from __future__ import annotations

import math
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edgellm.cli.run import command
from edgellm.cli.sampling_options import take_sampling
from edgellm_runtimes.sampling import SamplingParams, sampling_params
from edgellm_runtimes.sampling_table import PARAMETERS, SECTIONS, Parameter


def chosen(*words: str) -> dict[str, Any]:
    return take_sampling(dict(command.make_context("run", ["model", "prompt", *words]).params))


def words_for(parameter: Parameter) -> tuple[list[str], Any]:
    """A command line that sets ``parameter`` to something that is not its default, and that value."""
    flag = "--" + parameter.name.replace("_", "-")
    match parameter.kind:
        case "whole":
            return [flag, str(int(parameter.high))], parameter.high
        case "number":
            return [flag, str(parameter.high / 2)], parameter.high / 2
        case "word":
            return [flag, parameter.words[-1]], parameter.words[-1]
        case "texts":
            return [flag, "a b", flag, "="], ("a b", "=")
        case "biases":
            return [flag, "3=-inf", flag, "17=2.5"], {3: -math.inf, 17: 2.5}
        case "flag":
            off = parameter.is_turned_off
            return [flag.replace("--", "--no-") if off else flag], not off


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_an_option_sets_its_parameter_and_no_other(parameter: Parameter) -> None:
    words, value = words_for(parameter)
    assert value != getattr(SamplingParams(), parameter.name)
    given = chosen(*words)
    assert given == {parameter.name: value}
    assert getattr(sampling_params(None, **given), parameter.name) == value


def test_what_is_not_given_is_not_chosen() -> None:
    assert chosen() == {}


def test_zero_is_given() -> None:
    assert chosen("--temperature", "0", "--top-k", "0", "--logprobs", "0") == {
        "temperature": 0.0,
        "top_k": 0,
        "logprobs": 0,
    }


@pytest.mark.parametrize("text", ["5", "five=1", "5=", "5=much", "=1", "5.5=1"])
def test_a_bias_that_is_none_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(click.BadParameter, match="TOKEN=BIAS"):
        chosen("--logit-bias", text)


def test_the_help_lists_each_option_under_its_section() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    parts = {"": text.split("\nSampling:\n")[0]}
    for section in SECTIONS:
        parts[section] = text.split(f"\n{section}:\n")[1].split("\n\n")[0]
    assert "--context" in parts[""]
    for parameter in PARAMETERS:
        name = words_for(parameter)[0][0]
        assert [section for section, part in parts.items() if f"{name} " in part or f"{name}\n" in part] == [
            parameter.section
        ]
