"""The command line's options for every sampling parameter, from the runtime's table of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgellm_runtimes.sampling_table import PARAMETERS, SECTIONS, Parameter

__all__ = ["SectionedCommand", "sampling_options", "take_sampling"]

Function = TypeVar("Function", bound=Callable[..., Any])

_SHORT = {"max_tokens": "-n"}


def _biases(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[int, float] | None:
    biases = {}
    for text in texts:
        token, _, bias = text.partition("=")
        try:
            biases[int(token)] = float(bias)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not TOKEN=BIAS, a token id and a number or -inf") from None
    return biases or None


def sampling_options(function: Function) -> Function:
    """One option for each parameter; ``take_sampling`` gathers their values."""
    for parameter in reversed(PARAMETERS):
        function = _option(parameter)(function)
    return function


def _option(parameter: Parameter) -> Callable[[Function], Function]:
    flag = "--" + parameter.name.replace("_", "-")
    names = [*([_SHORT[parameter.name]] if parameter.name in _SHORT else []), flag, parameter.name]
    settings: dict[str, Any] = {"help": parameter.meaning, "default": None}
    match parameter.kind:
        case "whole":
            settings["type"] = int
        case "number":
            settings["type"] = float
        case "word":
            settings["type"] = click.Choice(parameter.words)
        case "flag":
            settings |= {"is_flag": True, "flag_value": not parameter.is_turned_off}
            if parameter.is_turned_off:
                names[names.index(flag)] = flag.replace("--", "--no-", 1)
        case "texts":
            settings["multiple"] = True
        case "biases":
            settings |= {"metavar": "TOKEN=BIAS", "multiple": True, "callback": _biases}
    return click.option(*names, **settings)


def take_sampling(options: dict[str, Any]) -> dict[str, Any]:
    """Take the sampling parameters out of the values of a command's options; those that were not given are left out."""
    values = {parameter.name: options.pop(parameter.name) for parameter in PARAMETERS}
    return {name: value for name, value in values.items() if value not in (None, ())}


class SectionedCommand(click.Command):
    """A command whose help lists the sampling options under headings of their own, after the others."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])  # also where it is called by itself

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections = {parameter.name: parameter.section for parameter in PARAMETERS}
        records: dict[str, list[tuple[str, str]]] = {"Options": [], **{section: [] for section in SECTIONS}}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                records[sections.get(parameter.name or "", "Options")].append(record)
        for section, found in records.items():
            if found:
                with formatter.section(section):
                    formatter.write_dl(found)
