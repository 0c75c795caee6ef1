"""Speculation from the text so far: a loop should run faster with it, and text without repetitions no slower."""

from __future__ import annotations

from functools import partial

from serve_bench import Bench, Load, Variant, streams_name, take_turns
from serve_load import Ask, Outcome
from serve_models import Model
from serve_ours import missing
from serve_report import OURS, Target

__all__ = ["TARGETS", "run"]

SPEED = "tokens/s"
LABEL = "lookup"
WITH = f"{OURS}, {LABEL}"
PROMPT, TOKENS = 64, 320
STREAMS = (1, 4)
LOOP, RANDOM = "greedy", "temperature 1"

TARGETS = (
    Target("lookup", SPEED, 1.5, model="smollm2-135m", cases=(f"{LOOP}, 1 stream",), ours=WITH, other=OURS),
    Target("lookup", SPEED, 0.97, model="tiny-llm", ours=WITH, other=OURS),
)


async def run(bench: Bench) -> None:
    reason = missing(options=True)
    if reason is not None:
        bench.book.note(f"lookup: left out, {reason}")
        return
    for model in bench.chosen("smollm2-135m", "tiny-llm"):
        temperature, kind = (1.0, RANDOM) if model.name == "tiny-llm" else (0.0, LOOP)
        for streams in STREAMS[:1] if bench.quick else STREAMS:
            case = f"{kind}, {streams_name(streams)}"
            async with bench.open(model, PROMPT + TOKENS + 64, streams, bench.ours()) as plain:
                both = [variant for one in plain for variant in (one, Variant(one, LABEL, speculate=True))]
                load = partial(_load, model, streams, temperature, case)
                keep = partial(_keep, bench, model.name, case)
                await take_turns(bench, both, load, keep, f"lookup {model.name} {case}")


def _load(model: Model, streams: int, temperature: float, case: str, round_: int) -> Load:
    prompts = [model.prompt(PROMPT, (case, round_, i)) for i in range(max(2, streams))]
    asks = [Ask(prompt, TOKENS, seed=i + 1, temperature=temperature) for i, prompt in enumerate(prompts)]
    return Load(asks, streams)


def _keep(bench: Bench, model: str, case: str, name: str, outcome: Outcome) -> None:
    numbers = {SPEED: outcome.tokens_per_s}
    counts = [reply.counts for reply in outcome.replies]
    drafted = [count.drafted_tokens for count in counts if count.drafted_tokens is not None]
    if name.endswith(LABEL):
        if not drafted:
            bench.book.note(f"lookup: {name} does not say how many tokens it drafted")
        elif sum(drafted):
            accepted = sum(count.accepted_tokens or 0 for count in counts)
            numbers |= {
                "accepted": accepted / sum(drafted),
                "drafted, of all tokens": sum(drafted) / TOKENS / len(counts),
            }
    bench.book.add("lookup", model, case, name, **numbers)
