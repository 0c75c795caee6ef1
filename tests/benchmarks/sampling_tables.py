"""The medians of a run as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from sampling_rows import KINDS
from sampling_targets import MEMORY, Times

__all__ = ["best_us", "contender_names", "sizes_table", "times_table"]

EIGHT = "eight rows"


def best_us(times: Times, chain: str, contender: str) -> float | None:
    """The median of a contender; of the fastest form where it has several ("numpy, blocks")."""
    forms = [n["us"] for name, n in times.get(chain, {}).items() if name.partition(", ")[0] == contender]
    return min(forms, default=None)


def contender_names(times: Times) -> list[str]:
    """In the order in which they took part."""
    names = {name.partition(", ")[0]: None for chain in times if not chain.startswith(EIGHT) for name in times[chain]}
    return list(names)


def times_table(cases: dict[str, Times], tiers: list[str]) -> str:
    """One vocabulary: us hot / cold of each chain and contender, and llama.cpp's over each of ours."""
    any_case = next(iter(cases.values()))
    names = contender_names(any_case)
    ratios = [f"llama.cpp / {tier}" for tier in tiers]
    head = ["us, hot / cold", "logits", *names, "llama.cpp's fill", *ratios]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for chain in any_case:
        if chain.startswith(EIGHT):
            continue
        for kind in KINDS:
            both = [cases[f"{kind} {memory}"] for memory in MEMORY]
            cells = [_pair([best_us(times, chain, name) for times in both]) for name in names]
            cells.append(_pair([_fill_us(times, chain) for times in both]))
            for tier in tiers:
                cells.append(_pair([_ratio(times, chain, tier) for times in both]))
            lines.append(f"| {chain} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_eights(cases, tiers)])


def _eights(cases: dict[str, Times], tiers: list[str]) -> Iterator[str]:
    """The same for eight rows, us per row."""
    kinds = ["one call", "eight calls", "plain maximum"]
    yield f"| {EIGHT}, us per row, hot / cold | logits | kernels | " + " | ".join(kinds) + " |"
    yield "|---|---|---|" + "---:|" * len(kinds)
    for chain in next(iter(cases.values())):
        if not chain.startswith(EIGHT):
            continue
        for kind in KINDS:
            both = [cases[f"{kind} {memory}"][chain] for memory in MEMORY]
            for tier in tiers:
                names = (f"edgellm {tier}", f"eight calls of edgellm {tier}", f"maximum {tier}")
                cells = [_pair([t[name]["us"] / 8 if name in t else None for t in both]) for name in names]
                yield f"| {chain.removeprefix(EIGHT + ', ')} | {kind} | {tier} | " + " | ".join(cells) + " |"


def sizes_table(results: dict[str, dict[str, Times]], tiers: list[str]) -> str:
    """All vocabularies: us of ours and llama.cpp's, rows in the cache."""
    head = ["us, hot: " + " / ".join([*tiers, "llama.cpp"]), "logits", *(f"{int(size):,}" for size in results)]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * len(results)]
    first = next(iter(results.values()))
    for chain in next(iter(first.values())):
        if chain.startswith(EIGHT) or "llama.cpp" not in first[f"{KINDS[0]} hot"][chain]:
            continue
        for kind in KINDS:
            cells = []
            for cases in results.values():
                times = cases[f"{kind} hot"]
                names = [*(f"edgellm {tier}" for tier in tiers), "llama.cpp"]
                cells.append(_pair([best_us(times, chain, name) for name in names]))
            lines.append(f"| {chain} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _fill_us(times: Times, chain: str) -> float | None:
    numbers = times[chain].get("llama.cpp")
    return None if numbers is None else numbers["us"] - numbers["us_without_fill"]


def _ratio(times: Times, chain: str, tier: str) -> float | None:
    theirs, ours = best_us(times, chain, "llama.cpp"), best_us(times, chain, f"edgellm {tier}")
    return None if theirs is None or ours is None else theirs / ours


def _pair(values: list[float | None]) -> str:
    return " / ".join(_short(value) for value in values if value is not None)


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
