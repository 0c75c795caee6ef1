"""Prometheus' text format, version 0.0.4.

https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Literal

__all__ = ["CONTENT_TYPE", "Counter", "Histogram", "family"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]
Sample = tuple[str, Sequence[str], Labels, float]
"""What is behind the family's name, the names of the labels, their values, the value."""


def family(name: str, kind: Kind, about: str, samples: Iterable[Sample]) -> str:
    """One metric with all its samples, as lines."""
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for suffix, names, values, number in samples:
        pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(names, values, strict=True))
        lines.append(f"{name}{suffix}{f'{{{pairs}}}' if pairs else ''} {_number(number)}")
    return "\n".join(lines) + "\n"


class Counter:
    """Counts by the values of its labels."""

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        self._name, self._about, self._labels = name, about, labels
        self._counts: dict[Labels, float] = {} if labels else {(): 0}

    def add(self, count: float, *values: str) -> None:
        """Count up, never down."""
        self._counts[values] = self._counts.get(values, 0) + count

    def text(self) -> str:
        """The lines."""
        return family(
            self._name, "counter", self._about, [("", self._labels, key, value) for key, value in self._counts.items()]
        )


class Histogram:
    """How often values were at most so large. ``bounds`` ascend; what is above them all is counted too."""

    def __init__(self, name: str, about: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self._name, self._about, self._bounds, self._labels = name, about, bounds, labels
        self._series: dict[Labels, Series] = {}

    def series(self, *values: str) -> Series:
        """Where values with these labels are counted."""
        found = self._series.get(values)
        if found is None:
            found = self._series[values] = Series(self._bounds)
        return found

    def text(self) -> str:
        """The lines."""
        return family(self._name, "histogram", self._about, self._samples())

    def _samples(self) -> Iterable[Sample]:
        names = (*self._labels, "le")
        for values, series in self._series.items():
            total = 0
            for bound, count in zip([*map(_number, self._bounds), "+Inf"], series.counts, strict=True):
                total += count
                yield "_bucket", names, (*values, bound), total
            yield "_sum", self._labels, values, series.sum
            yield "_count", self._labels, values, total


class Series:
    """The counts of one histogram for one set of labels."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect.bisect_left(self._bounds, value)] += 1
        self.sum += value


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
