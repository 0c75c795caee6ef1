"""Serving many requests at once: our engine against llama-server and the servers of llama-cpp-python, in one run.

usage: python tests/benchmarks/serve.py [streams|shared|restart|longprompt|schema|lookup|rss|all ...]
       [--models smollm2-135m,tiny-llm] [--contenders in-process,worker,llama-server] [--rounds 3] [--threads N]
       [--streams 1,8] [--quick] [--work FOLDER] [--json] [--from RUN.json ...]

Everyone gets the same GGUF, the same prompts as token ids, the same sampling parameters and as many threads; rounds lie
apart and within one the contenders take turns. Ours is asked in this process, in-process and as a worker; the servers
over HTTP by a client without keep-alive. Ratios against the targets are medians over rounds. The servers come from
llama-cpp-python's source (tests/oracle/build_tools.py --serving); those that are not there are left out, and a note
says so. The models have the shapes of real ones and random weights; they are made in --work (3 GB), a temporary folder
unless given. Nothing else should run. A whole run takes most of an hour: --json keeps the numbers of a part, and --from
brings parts together.
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

import httpx
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
from serve_report import Book, Measure, Verdict, measures_table, verdicts, verdicts_table

from edgellm.errors import EdgeLLMError

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


def whole_numbers(text: str) -> tuple[int, ...]:
    """Numbers separated by commas."""
    return tuple(int(word) for word in text.split(",") if word)


async def measure(bench: Bench, scenarios: list[str]) -> None:
    """One scenario after the other. What ends one is noted and takes no other's numbers away."""
    for name in scenarios:
        print(f"== {name}", file=sys.stderr, flush=True)
        try:
            await SCENARIOS[name].run(bench)
        except (EdgeLLMError, RuntimeError, httpx.HTTPError) as error:
            print(f"{name} failed: {error!r}", file=sys.stderr, flush=True)
            bench.book.note(f"{name} FAILED: {error!r}")


def merged(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Runs of parts as one. Rounds of the same case follow each other; each is compared with itself all the same."""
    book = Book()
    for run in runs:
        for measure in (Measure(**row) for row in run["measures"]):
            for name, values in measure.values.items():
                for value in values:
                    book.add(measure.scenario, measure.model, measure.case, name, **{measure.what: value})
        for note in run["notes"]:
            book.note(note)
    return {**runs[0], "measures": [vars(measure) for measure in book.measures.values()], "notes": book.notes}


def judged(run: dict[str, Any]) -> list[Verdict]:
    """What the run says about every target that it measured."""
    targets = [target for scenario in SCENARIOS.values() for target in scenario.TARGETS]
    return verdicts([Measure(**row) for row in run["measures"]], targets)


def markdown(run: dict[str, Any]) -> str:
    """The tables, and what was left out."""
    measures, found = [Measure(**row) for row in run["measures"]], judged(run)
    head = f"Medians of interleaved rounds, ± half the distance of the outermost ones; {run['threads']} threads."
    parts = [head, measures_table(measures), verdicts_table(found) if found else "No target was measured."]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in run["notes"])]).rstrip()


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
    parser.add_argument("--streams", type=whole_numbers, default=(), help="how many, for the scenario of that name")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--from", dest="runs", nargs="+", type=Path, help="measure nothing; --json wrote these files")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.scenarios if name not in (*SCENARIOS, "all")]:
        parser.error(f"unknown scenario {unknown[0]}; there are {', '.join(SCENARIOS)}, all")
    return arguments


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line asks for, as --json prints it."""
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
            streams=arguments.streams,
        )
        asyncio.run(measure(bench, chosen))
    return {
        "machine": machine(),
        "threads": bench.threads,
        "rounds": bench.rounds,
        "quick": bench.quick,
        "measures": [vars(found) for found in bench.book.measures.values()],
        "notes": bench.book.notes,
    }


def main() -> None:
    arguments = parsed()
    if arguments.runs:
        run = merged([json.loads(path.read_text(encoding="utf-8")) for path in arguments.runs])
    else:
        run = measured(arguments)
    if arguments.json:
        print(json.dumps(run | {"targets": [verdict._asdict() for verdict in judged(run)]}, indent=2))
    else:
        print("\n".join(f"{key}: {value}" for key, value in run["machine"].items()))
        print(f"\n{markdown(run)}")
    if any(" FAILED: " in note for note in run["notes"]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
