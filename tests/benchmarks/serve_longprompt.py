"""A long prompt arrives while others are being answered: how long do they wait for a token, and it for its first?"""

from __future__ import annotations

from functools import partial

from serve_bench import Bench, Load, take_turns
from serve_load import Ask, Outcome, percentile
from serve_models import Model
from serve_report import Target

__all__ = ["TARGETS", "run"]

STREAMS = 4
PROMPT, TOKENS = 4000, 16
SHORT_PROMPT = 64
ARRIVES_S = 1.0
WORST, LATENCY = "worst gap of the others, ms", "first token of the long prompt, ms"

TARGETS = (
    Target("longprompt", WORST, 0.5, at_most=True),
    Target("longprompt", LATENCY, 1.1, at_most=True),
)


async def run(bench: Bench) -> None:
    for model in bench.chosen("smollm2-135m"):
        long = min(PROMPT // 8 if bench.quick else PROMPT, model.context - TOKENS - 32)
        context = min(model.context, -(-(long + TOKENS + 32) // 256) * 256)
        async with bench.open(model, context, STREAMS + 1) as contenders:
            load = partial(_load, model, long, context)
            keep = partial(_keep, bench, model, f"{long} tokens")
            await take_turns(bench, contenders, load, keep, f"longprompt {model.name}")


def _load(model: Model, long: int, context: int, round_: int) -> Load:
    tokens = context - SHORT_PROMPT - 1  # more than anybody makes before the long prompt is answered
    asks = [Ask(model.prompt(SHORT_PROMPT, (round_, i)), tokens, seed=i + 1, background=True) for i in range(STREAMS)]
    return Load([*asks, Ask(model.prompt(long, (round_, "long")), TOKENS, at_s=ARRIVES_S)])


def _keep(bench: Bench, model: Model, case: str, name: str, outcome: Outcome) -> None:
    *others, long = outcome.replies
    arrived, answered = long.asked, long.stamps[0]
    before = [gap for reply in others for gap in reply.gaps(until=arrived)]
    meanwhile = [gap for reply in others for gap in reply.gaps(arrived, answered)]
    if any(not reply.stamps or reply.stamps[0] > arrived or reply.stamps[-1] < answered for reply in others):
        bench.book.note(
            f"longprompt: {name} did not decode all other streams while the long prompt waited and was read"
        )
    numbers = {
        WORST: 1e3 * max(reply.longest_wait(arrived, answered) for reply in others),
        LATENCY: 1e3 * long.first_s,
    }
    if meanwhile:
        numbers["95 of 100 gaps meanwhile, ms"] = 1e3 * percentile(meanwhile, 0.95)
    if before:
        numbers["median gap before, ms"] = 1e3 * percentile(before, 0.5)
    bench.book.add("longprompt", model.name, case, name, **numbers)
