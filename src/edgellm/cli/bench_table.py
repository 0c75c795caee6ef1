"""What `edgellm bench` shows: a row for each bundle, and how they compare."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from edgellm.cli.console import print_table, printable
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm_runtimes.bench import BenchResult, BenchWork, EncoderResult, EncoderWork

__all__ = ["Measured", "print_measured", "record_of"]


class _Speed(NamedTuple):
    """A figure of a run, in tokens per second."""

    field: str
    header: str
    what: str  # in the sentence that compares


def _speeds(work: BenchWork | EncoderWork) -> tuple[_Speed, ...]:
    from edgellm_runtimes.bench import EncoderWork

    together = f"{work.streams} AT ONCE tok/s"
    if isinstance(work, EncoderWork):
        return (
            _Speed("text_tokens_per_s", "TEXT tok/s", "single texts"),
            _Speed("streams_tokens_per_s", together, "texts at once"),
        )
    return (
        _Speed("prefill_tokens_per_s", "PROMPT tok/s", "prompts"),
        _Speed("decode_tokens_per_s", "ANSWER tok/s", "answers"),
        _Speed("streams_tokens_per_s", together, "answers at once"),
    )


@dataclass(frozen=True)
class Measured:
    """The runs of one bundle."""

    bundle: OpenBundle
    first_load_s: float  # with what is prepared once
    runs: Sequence[BenchResult] | Sequence[EncoderResult]

    def median(self, field: str) -> float:
        """Of one field of the runs."""
        return statistics.median(getattr(run, field) or 0 for run in self.runs)


def print_measured(measured: Sequence[Measured], work: BenchWork | EncoderWork) -> None:
    """The table, and how many times as fast the fastest is."""
    speeds = _speeds(work)
    headers = ["BUNDLE", "FORMAT", "RECIPE", "SIZE", "FIRST LOAD", "LOAD"]
    headers += [*(speed.header for speed in speeds), "OWN MEMORY", "MAPPED"]
    cells = []
    for one in measured:
        plan = one.bundle.plan
        cells.append(
            [
                printable(one.bundle.name),
                plan.model_format,
                plan.recipe,
                format_bytes(one.bundle.size_bytes),
                f"{one.first_load_s:.2f} s",
                f"{one.median('load_s'):.2f} s",
                *(f"{one.median(speed.field):.1f}" for speed in speeds),
                _memory(one, "anonymous_bytes"),
                _memory(one, "mapped_bytes"),
            ]
        )
    print_table(headers, cells, right=tuple(range(3, len(headers))))
    if len(measured) > 1:
        for field, _header, what in speeds:
            _compare(what, measured, {one.bundle.name: 1 / one.median(field) for one in measured})
        if len(speeds) > 2:
            _compare_requests(measured)


def _compare_requests(measured: Sequence[Measured]) -> None:
    """By the request by which a format is chosen."""
    from edgellm.devices.format_choice import ANSWER_TOKENS, PROMPT_TOKENS

    seconds = {
        one.bundle.name: PROMPT_TOKENS / one.median("prefill_tokens_per_s")
        + ANSWER_TOKENS / one.median("decode_tokens_per_s")
        for one in measured
    }
    _compare(f"{PROMPT_TOKENS} tokens of prompt and {ANSWER_TOKENS} of answer", measured, seconds)


def _compare(what: str, measured: Sequence[Measured], seconds: dict[str, float]) -> None:
    first, second = sorted((one.bundle.name for one in measured), key=seconds.__getitem__)[:2]
    ratio = seconds[second] / seconds[first]
    sys.stdout.write(f"{what}: {printable(first)} is {ratio:.2f} times as fast as the next\n")


def _memory(one: Measured, field: str) -> str:
    return "unknown" if getattr(one.runs[0], field) is None else format_bytes(round(one.median(field)))


def record_of(measured: Sequence[Measured], work: BenchWork | EncoderWork) -> dict[str, Any]:
    """What --json prints."""
    speeds = [speed.field for speed in _speeds(work)]
    return {
        "work": msgspec.structs.asdict(work),
        "bundles": [
            {
                "name": one.bundle.name,
                "digest": one.bundle.digest,
                "format": one.bundle.plan.model_format.lower(),
                "recipe": one.bundle.plan.recipe,
                "size_bytes": one.bundle.size_bytes,
                "first_load_s": one.first_load_s,
                "median": {field: one.median(field) for field in ("load_s", *speeds)},
                "runs": [msgspec.to_builtins(run) for run in one.runs],
            }
            for one in measured
        ],
    }
