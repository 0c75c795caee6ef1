"""Serving many requests at once: our engine against llama-server and the servers of llama-cpp-python, in one run.

usage: python tests/benchmarks/serve.py [streams|shared|restart|longprompt|schema|lookup|rss|all ...]
       [--models smollm2-135m,tiny-llm] [--contenders in-process,worker,llama-server] [--rounds 3] [--threads N]
       [--quick] [--work FOLDER] [--json]

Everyone gets the same GGUF, the same prompts as token ids, the same sampling parameters and as many threads; rounds lie
apart and within one the contenders take turns. Ours is asked in this process, in-process and as a worker; the servers
over HTTP by a client without keep-alive. Ratios against the targets are medians over rounds. The servers come from
llama-cpp-python's source (tests/oracle/build_tools.py --serving); those that are not there are left out, and a note
says so. The models have the shapes of real ones and random weights; they are made in --work (3 GB), a temporary folder
unless given. Nothing else should run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import serve_longprompt
import serve_lookup
import serve_memory
import serve_restart
import serve_schema
import serve_shared
import serve_streams
from measure import machine
from serve_bench import Bench
from serve_models import MODELS
from serve_ours import FORMS
from serve_peers import PEERS
from serve_report import Book, measures_table, verdicts, verdicts_table

SCENARIOS: dict[str, ModuleType] = {
    "streams": serve_streams,
    "shared": serve_shared,
    "longprompt": serve_longprompt,
    "restart": serve_restart,
    "schema": serve_schema,
    "lookup": serve_lookup,
    "rss": serve_memory,
}
ROUNDS, QUICK_ROUNDS = 3, 1


def several(text: str, known: dict[str, Any]) -> list[str]:
    """The words of ``text``, which must be ``known``."""
    words = [word for word in text.split(",") if word]
    if unknown := [word for word in words if word not in known]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return words


async def measure(bench: Bench, scenarios: list[str]) -> None:
    """One scenario after the other."""
    for name in scenarios:
        print(f"== {name}", file=sys.stderr, flush=True)
        await SCENARIOS[name].run(bench)


def result(bench: Bench) -> dict[str, Any]:
    """Everything as --json prints it."""
    measures = list(bench.book.measures.values())
    found = verdicts(measures, [target for scenario in SCENARIOS.values() for target in scenario.TARGETS])
    return {
        "machine": machine(),
        "threads": bench.threads,
        "rounds": bench.rounds,
        "quick": bench.quick,
        "measures": [vars(measure) for measure in measures],
        "targets": [verdict._asdict() for verdict in found],
        "notes": bench.book.notes,
    }


def markdown(bench: Bench) -> str:
    """The tables."""
    measures = list(bench.book.measures.values())
    found = verdicts(measures, [target for scenario in SCENARIOS.values() for target in scenario.TARGETS])
    head = (
        f"Medians of {bench.rounds} interleaved rounds, ± half the distance of the outermost; {bench.threads} threads."
    )
    parts = [head, measures_table(measures), verdicts_table(found) if found else "No target was measured."]
    return "\n\n".join([*parts, *(f"- {note}" for note in bench.book.notes)])


def parsed() -> argparse.Namespace:
    everyone = {**FORMS, **PEERS}
    parser = argparse.ArgumentParser(description="Our engine against llama-server and others, many requests at once.")
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}, all (default: all)")
    parser.add_argument("--models", type=lambda text: several(text, MODELS), default=[], help=", ".join(MODELS))
    parser.add_argument(
        "--contenders", type=lambda text: several(text, everyone), default=list(everyone), help=", ".join(everyone)
    )
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="fewer cases and tokens: shows that all works")
    parser.add_argument("--work", type=Path, help="folder where the models stay for the next run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.scenarios if name not in (*SCENARIOS, "all")]:
        parser.error(f"unknown scenario {unknown[0]}; there are {', '.join(SCENARIOS)}, all")
    return arguments


def main() -> None:
    arguments = parsed()
    chosen = [name for name in SCENARIOS if name in arguments.scenarios]
    if not chosen or "all" in arguments.scenarios:
        chosen = list(SCENARIOS)
    with tempfile.TemporaryDirectory(prefix="edgellm-bench-") as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(
            work=work,
            book=Book(),
            models=arguments.models,
            contenders=arguments.contenders,
            threads=arguments.threads,
            rounds=arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS),
            quick=arguments.quick,
        )
        asyncio.run(measure(bench, chosen))
    if arguments.json:
        print(json.dumps(result(bench), indent=2))
    else:
        print("\n".join(f"{key}: {value}" for key, value in machine().items()))
        print(f"\n{markdown(bench)}")


if __name__ == "__main__":
    main()
