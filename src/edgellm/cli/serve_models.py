"""What `edgellm serve` is told about models in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["model_flags", "model_options"]

Function = TypeVar("Function", bound=Callable[..., Any])


def model_options(function: Function) -> Function:
    """--memory-budget, --keep-alive, --parallel"""
    for option in (
        click.option(
            "--parallel",
            type=click.IntRange(0, 256),
            metavar="COUNT",
            help="Answers of one model at the same time.  [default: what suits the memory, 4 at most]",
        ),
        click.option(
            "--keep-alive",
            metavar="DURATION",
            help="How long a model stays after its last request: 10m, 1h30m, seconds; -1 for ever.  [default: 5m]",
        ),
        click.option(
            "--memory-budget",
            metavar="SIZE",
            help="Memory that the server and its models may take, such as 2GiB.  [default: what is free]",
        ),
    ):
        function = option(function)
    return function


def model_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """``flags`` with sizes and durations as numbers, named as ServerConfig names them. Raises UsageError."""
    from edgellm.cli.context import size_option_value
    from edgellm.units import parse_duration_s

    rest = dict(flags)
    budget, keep_alive = rest.pop("memory_budget"), rest.pop("keep_alive")
    rest["memory_budget_bytes"] = size_option_value(budget)
    rest["keep_alive_s"] = None if keep_alive is None else parse_duration_s(keep_alive)
    return rest
