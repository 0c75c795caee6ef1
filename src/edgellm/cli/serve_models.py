"""Options of `serve` about the models that it loads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

__all__ = ["model_options"]

_OPTIONS = (
    click.option(
        "--keep-alive",
        metavar="TIME",
        help="Keep a model so long after its last request: 5m, 1h30m or seconds; -1 for ever, 0 not at all.  "
        "[default: 5m]",
    ),
    click.option(
        "--memory-budget",
        metavar="SIZE",
        help="Memory that the server and its models may take, like 2GiB.  [default: what is free]",
    ),
    click.option(
        "--parallel",
        type=click.IntRange(0, 256),
        metavar="N",
        help="Answers that a model gives at the same time.  [default: what suits the memory, 4 at most]",
    ),
    click.option(
        "--isolation",
        type=click.Choice(["auto", "worker", "process"]),
        help="Run models in worker processes, or in the server's own.  [default: as suits the device]",
    ),
)


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options. ``function`` gets them as fields of ServerConfig."""

    @functools.wraps(function)
    def with_fields(keep_alive: str | None, memory_budget: str | None, **others: Any) -> Any:
        from edgellm.units import parse_bytes, parse_duration_s

        return function(
            keep_alive_s=None if keep_alive is None else parse_duration_s(keep_alive),
            memory_budget_bytes=None if memory_budget is None else parse_bytes(memory_budget),
            **others,
        )

    for option in reversed(_OPTIONS):
        with_fields = option(with_fields)
    return with_fields
