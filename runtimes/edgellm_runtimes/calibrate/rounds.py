"""Times every model in rounds that lie apart: what else happens on a machine comes and goes within seconds.

A disturbance falls on one model in one round, and the median of the rounds leaves it out. Where memory itself is faster
at one time than at another, as in a virtual machine with neighbours, the median is what is usual.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edgellm_runtimes.calibrate.synthetic import Shape
from edgellm_runtimes.calibrate.timing import Timing

__all__ = ["ROUNDS", "Model", "Usual", "usual_timings"]

ROUNDS = 3


class Model(NamedTuple):
    """What is timed."""

    shape: Shape
    type_name: str
    repack: bool
    deep: bool = False  # with a longer context too


class Usual(NamedTuple):
    """The median of each step's times, and half the distance between its least and its greatest, as a share."""

    timing: Timing
    spread: float


def usual_timings(
    models: Sequence[Model], time_one: Callable[[Model, int], Timing | None], rounds: int
) -> dict[Model, Usual]:
    """Call ``time_one(model, round)`` for every model in each round; one for which it gives None is left out."""
    found: dict[Model, list[Timing]] = {model: [] for model in models}
    for number in range(rounds):
        for model in list(found):
            timing = time_one(model, number)
            if timing is None:
                del found[model]
            else:
                found[model].append(timing)
    return {model: _usual(timings) for model, timings in found.items()}


def _usual(timings: Sequence[Timing]) -> Usual:
    steps = {step: [getattr(timing, step) for timing in timings] for step in Timing.__struct_fields__}
    medians = {step: statistics.median(times) for step, times in steps.items()}
    spreads = [(max(times) - min(times)) / 2 / medians[step] for step, times in steps.items() if medians[step] > 0]
    return Usual(Timing(**medians), max(spreads))
