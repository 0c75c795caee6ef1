"""Requests that begin alike: a shared prefix should be computed once, whoever comes with it and when."""

from __future__ import annotations

from functools import partial

from serve_bench import Bench, Load, take_turns
from serve_load import Ask, Outcome
from serve_models import Model
from serve_report import Target

__all__ = ["TARGETS", "run"]

SEQUENCES, REQUESTS = 8, 16
CONTEXT = 1024
SHARED, OWN, TOKENS = 512, 12, 32
EVERY_S = 0.05
AT_ONCE, SPACED = "all at once", "one every 50 ms"
TOTAL, FIRST = "total, s", "median first token, ms"

TARGETS = (
    Target("shared", TOTAL, 0.45, at_most=True, cases=(AT_ONCE,)),
    Target("shared", FIRST, 0.5, at_most=True, cases=(SPACED,)),
)


async def run(bench: Bench) -> None:
    for model in bench.chosen("smollm2-135m"):
        prefix = min(SHARED, model.context - OWN - TOKENS - 1) if not bench.quick else SHARED // 4
        async with bench.open(model, min(CONTEXT, model.context), SEQUENCES) as contenders:
            for case, every_s in ((AT_ONCE, 0.0), (SPACED, EVERY_S)):
                load = partial(_load, model, prefix, case, every_s)
                keep = partial(_keep, bench, model, case)
                await take_turns(bench, contenders, load, keep, f"shared {model.name} {case}")


def _load(model: Model, prefix: int, case: str, every_s: float, round_: int) -> Load:
    shared = model.prompt(prefix, (case, round_))
    prompts = [shared + model.prompt(OWN, (case, round_, i)) for i in range(REQUESTS)]
    return Load([Ask(prompt, TOKENS, at_s=i * every_s, seed=i + 1) for i, prompt in enumerate(prompts)])


def _keep(bench: Bench, model: Model, case: str, name: str, outcome: Outcome) -> None:
    cached = [reply.counts.cached_tokens for reply in outcome.replies if reply.counts.cached_tokens is not None]
    numbers = {
        TOTAL: outcome.wall_s,
        FIRST: outcome.median_first_ms,
        "median gap, ms": outcome.median_gap_ms,
        "client, cores": outcome.client_share,
    }
    if cached:
        numbers["cached prompt tokens"] = float(sum(cached))
    bench.book.add("shared", model.name, case, name, **numbers)
