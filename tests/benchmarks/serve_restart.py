"""A process that starts anew: how long until the first token, with the system prompt on disk and without?"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from serve_bench import Bench
from serve_load import Ask
from serve_memory import run_child
from serve_ours import missing, store_fields
from serve_report import Target

__all__ = ["TARGETS", "run"]

SYSTEM, OWN, TOKENS = 1000, 12, 8
CONTEXT = 1280
FIRST = "first token, ms"
COLD, WARM = "cold", "prefix on disk"

TARGETS = (Target("restart", FIRST, 0.1, at_most=True, ours=WARM, other=COLD),)


async def run(bench: Bench) -> None:
    reason = missing(options=True)
    if reason is None and store_fields(bench.work, bench.work) is None:
        reason = "this engine keeps no prefixes on disk"
    if reason is not None:
        bench.book.note(f"restart: left out, {reason}")
        return
    for model in bench.chosen("smollm2-135m", "qwen2.5-0.5b"):
        system_tokens = min(SYSTEM // 4 if bench.quick else SYSTEM, model.context - OWN - TOKENS - 1)
        for round_ in range(bench.rounds):
            system = model.prompt(system_tokens, ("restart", round_))
            with tempfile.TemporaryDirectory(dir=bench.work) as store:
                for name in (COLD, WARM):
                    first = [Ask(model.prompt(8, "warm"), TOKENS)]  # pages of the file, buffers, threads
                    ask = Ask(system + model.prompt(OWN, (name, round_)), TOKENS, save=True)
                    settings = {"form": "in-process", "context": min(CONTEXT, model.context), "sequences": 1}
                    found = await asyncio.to_thread(
                        run_child, bench, model, [first, [ask]], **settings, threads=bench.threads, store=store
                    )
                    answer = found["answers"][-1]
                    _check(name, answer["cached"], system_tokens)
                    numbers = {FIRST: 1e3 * answer["first_s"], "cached prompt tokens": float(answer["cached"])}
                    bench.book.add("restart", model.name, f"{system_tokens} tokens", name, **numbers)
                    print(f"restart {model.name} {name}: {numbers[FIRST]:.1f} ms", file=sys.stderr, flush=True)
                kept = sum(file.stat().st_size for file in Path(store).rglob("*") if file.is_file())
            bench.book.add("restart", model.name, f"{system_tokens} tokens", WARM, **{"on disk, MB": kept / 1e6})


def _check(name: str, cached: int, system_tokens: int) -> None:
    """A cold start that finds something, or a warm one that finds nothing, is none."""
    if cached > system_tokens // 2 if name == COLD else cached < system_tokens // 2:
        raise RuntimeError(f"restart, {name}: {cached} of {system_tokens} prompt tokens came from the cache")
