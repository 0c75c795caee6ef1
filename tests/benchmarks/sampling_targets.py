"""What the sampler should reach, and whether it does in the numbers of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sampling_chains import MASKED
from sampling_rows import KINDS

__all__ = ["N_VOCAB", "Verdict", "targets_table", "verdicts"]

N_VOCAB = 151_936  # the targets are for this one
MEMORY = ("hot", "cold")
_LOGPROBS = "greedy, 20 log-probabilities"
_CALL = "call"  # what one costs for each of eight rows

Times = dict[str, dict[str, dict[str, Any]]]  # chain -> contender -> numbers, of one kind and memory


class Target(NamedTuple):
    """A bound on a number made of one case's times."""

    name: str
    bound: Callable[[str, str], float]  # of tier and kind
    value: Callable[[Times, str], float | None]  # of a case's times and a tier
    at_most: bool = False
    memory: tuple[str, ...] = MEMORY


class Verdict(NamedTuple):
    """A target of one tier and the numbers of its cases."""

    target: str
    tier: str
    bound: str
    values: dict[str, float]  # "peaked hot" -> number
    missed: list[str]  # which of them

    @property
    def outcome(self) -> str:
        if not self.missed:
            return "met"
        return "missed" if len(self.missed) == len(self.values) else "missed: " + ", ".join(self.missed)


def _us(times: Times, chain: str, contender: str) -> float | None:
    numbers = times.get(chain, {}).get(contender)
    return None if numbers is None else float(numbers["us"])


def _ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or under is None else over / under


def _llama(chain: str) -> Callable[[Times, str], float | None]:
    return lambda times, tier: _ratio(_us(times, chain, "llama.cpp"), _us(times, chain, f"edgellm {tier}"))


def _numpy(times: Times, tier: str) -> float | None:
    forms = [numbers["us"] for name, numbers in times.get(_LOGPROBS, {}).items() if name.startswith("numpy")]
    return _ratio(min(forms, default=None), _us(times, _LOGPROBS, f"edgellm {tier}"))


def _of_ours(chain: str, other: str, name: str = "edgellm", other_name: str = "edgellm") -> Any:
    return lambda times, tier: _ratio(_us(times, chain, f"{name} {tier}"), _us(times, other, f"{other_name} {tier}"))


def _greedy(times: Times, tier: str) -> float | None:
    """The kernel's time for a row: a call's less what one costs for rows of no size."""
    chain = times.get("eight rows, greedy", {})
    ours, maximum = chain.get(f"edgellm {tier}"), chain.get(f"maximum {tier}")
    if ours is None or maximum is None:
        return None
    return float((ours["us"] - times[_CALL]["any"]["us"]) / maximum["us"])


TARGETS = (
    Target("greedy: llama.cpp / ours", lambda tier, kind: 20, _llama("greedy")),
    Target("default chain: llama.cpp / ours", lambda tier, kind: 12, _llama("default")),
    Target("temperature: llama.cpp / ours", lambda tier, kind: 20 if tier == "avx512" else 12, _llama("temperature")),
    Target("min-p: llama.cpp / ours", lambda tier, kind: 15, _llama("min-p")),
    Target("top-p: llama.cpp / ours", lambda tier, kind: 80 if kind == "flat" else 8, _llama("top-p")),
    Target("typical: llama.cpp / ours", lambda tier, kind: 30, _llama("typical")),
    Target("default with penalties: llama.cpp / ours", lambda tier, kind: 20, _llama("default with penalties")),
    Target("20 log-probabilities: best numpy / ours", lambda tier, kind: 4, _numpy),
    *(
        Target(f"{chain}: / default", lambda tier, kind: 1.3, _of_ours(chain, "default"), at_most=True)
        for chain in MASKED
    ),
    Target("eight rows, greedy, without the call: / plain maximum", lambda tier, kind: 1.3, _greedy, at_most=True),
    Target(
        "eight rows in one call: / eight calls",
        lambda tier, kind: 1.0,
        _of_ours("eight rows, default", "eight rows, default", other_name="eight calls of edgellm"),
        at_most=True,
        memory=("cold",),
    ),
)


def verdicts(cases: dict[str, Times], tiers: list[str], overhead: dict[str, float]) -> Iterator[Verdict]:
    """``cases``: "peaked hot" -> times."""
    for tier in tiers:
        for target in TARGETS:
            values, missed, bounds = {}, [], []
            for kind in KINDS:
                bound = target.bound(tier, kind)
                bounds.append(f"{bound:g}")
                for memory in target.memory:
                    call = {_CALL: {"any": {"us": overhead.get("us_per_row", 0.0)}}}
                    value = target.value(cases.get(f"{kind} {memory}", {}) | call, tier)
                    if value is None:
                        continue
                    values[f"{kind} {memory}"] = value
                    if not (value <= bound if target.at_most else value >= bound):
                        missed.append(f"{kind} {memory}")
            if values:
                bound_text = ("<= " if target.at_most else ">= ") + " / ".join(dict.fromkeys(bounds))
                yield Verdict(target.name, tier, bound_text, values, missed)
    if overhead:
        us = overhead["us_per_row"]
        yield Verdict(
            "call of eight small rows, us per row", "", "<= 2", {"peaked hot": us}, [] if us <= 2.0 else ["peaked hot"]
        )


def targets_table(found: list[Verdict]) -> str:
    """As Markdown."""
    columns = [f"{kind} {memory}" for kind in KINDS for memory in MEMORY]
    lines = ["| | kernels | target | " + " | ".join(columns) + " | |", "|---|---|---|" + "---:|" * 4 + "---|"]
    for verdict in found:
        cells = [f"{verdict.values[name]:.3g}" if name in verdict.values else "" for name in columns]
        lines.append(
            f"| {verdict.target} | {verdict.tier} | {verdict.bound} | {' | '.join(cells)} | {verdict.outcome} |"
        )
    return "\n".join(lines)
