"""Numbers of a run, what they should reach, and the tables of both."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Book", "Measure", "Target", "Verdict", "measures_table", "verdicts", "verdicts_table"]

OURS, WORKER, PEER = "in-process", "worker", "llama-server"


@dataclass
class Measure:
    """One number of one case: a value per contender and round. Rounds lie apart in time, contenders next to another."""

    scenario: str
    model: str
    case: str
    what: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, ours: str, other: str) -> float | None:
        """The median over rounds of ours / other, each round with itself; None without both."""
        pairs = list(zip(self.values.get(ours, ()), self.values.get(other, ()), strict=False))
        return statistics.median(a / b for a, b in pairs) if pairs else None

    def difference(self, ours: str, other: str) -> float | None:
        """The same of ours - other."""
        pairs = list(zip(self.values.get(ours, ()), self.values.get(other, ()), strict=False))
        return statistics.median(a - b for a, b in pairs) if pairs else None


class Book:
    """Collects measures, and notes about what was left out."""

    def __init__(self) -> None:
        self.measures: dict[tuple[str, str, str, str], Measure] = {}
        self.notes: list[str] = []

    def add(self, scenario: str, model: str, case: str, contender: str, **numbers: float) -> None:
        """One round of one contender."""
        for what, value in numbers.items():
            key = (scenario, model, case, what)
            measure = self.measures.setdefault(key, Measure(*key))
            measure.values.setdefault(contender, []).append(value)

    def note(self, text: str) -> None:
        """Once, however often it is said."""
        if text not in self.notes:
            self.notes.append(text)


class Target(NamedTuple):
    """A bound on ours / other, or on ours - other. Empty words stand for any."""

    scenario: str
    what: str
    bound: float
    at_most: bool = False
    model: str = ""
    cases: tuple[str, ...] = ()
    ours: str = OURS
    other: str = PEER
    is_difference: bool = False

    def concerns(self, measure: Measure) -> bool:
        return (
            self.scenario == measure.scenario
            and self.what == measure.what
            and self.model in ("", measure.model)
            and (not self.cases or measure.case in self.cases)
        )


class Verdict(NamedTuple):
    """A target and the number that a run has for it."""

    scenario: str
    model: str
    case: str
    what: str
    compared: str
    bound: str
    value: float
    is_met: bool


def verdicts(measures: Iterable[Measure], targets: Sequence[Target]) -> list[Verdict]:
    """What each measure says about each target that concerns it."""
    found = []
    for measure in measures:
        for target in targets:
            if not target.concerns(measure):
                continue
            compare = measure.difference if target.is_difference else measure.ratio
            value = compare(target.ours, target.other)
            if value is None:
                continue
            sign, word = "<=" if target.at_most else ">=", "-" if target.is_difference else "/"
            is_met = value <= target.bound if target.at_most else value >= target.bound
            compared = f"{target.ours} {word} {target.other}"
            place = (measure.scenario, measure.model, measure.case, measure.what)
            found.append(Verdict(*place, compared, f"{sign} {target.bound:g}", value, is_met))
    return found


def verdicts_table(found: Sequence[Verdict]) -> str:
    """As Markdown."""
    lines = ["| scenario | model | case | | compared | target | value | |", "|---|---|---|---|---|---|---:|---|"]
    for verdict in found:
        cells = [*verdict[:6], f"{verdict.value:.3g}", "met" if verdict.is_met else "**missed**"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measures_table(measures: Sequence[Measure]) -> str:
    """Medians over rounds, one column per contender, as Markdown; behind them how far the rounds lie apart."""
    names = list(dict.fromkeys(name for measure in measures for name in measure.values))
    lines = ["| scenario | model | case | | " + " | ".join(names) + " |", "|---|---|---|---|" + "---:|" * len(names)]
    for measure in measures:
        cells = [measure.scenario, measure.model, measure.case, measure.what]
        cells += [_cell(measure.values.get(name, ())) for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    median = statistics.median(values)
    if len(values) == 1 or not median:
        return _short(median)
    return f"{_short(median)} ±{(max(values) - min(values)) / 2 / median:.0%}"


def _short(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
