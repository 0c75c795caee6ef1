"""`edgellm serve` over HTTP: against the bare engine, against llama-server, and with more clients than it can serve.

usage: python tests/benchmarks/http_serve.py [streams|clients|full ...] [--model smollm2-135m] [--streams 1,8,16]
       [--rounds 3] [--threads N] [--tokens 64] [--work FOLDER] [--json]

streams  tokens/s and time to first token of the engine in a worker, of `edgellm serve` and of llama-server, all asked
         by the same client on the same cores, taking turns; and the processor time of the server's own process per
         streamed token, its worker apart.
clients  200 connections that idle and 64 that stream: every answer is whole, and the idle ones are answered at the end.
full     what a server that takes 8 requests says to the 9th, and how soon.

Nothing else should run. Packed models stay in --work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from http_full import run_full
from http_load import run_clients, run_streams
from http_place import HttpBench
from http_targets import TARGETS
from measure import machine
from serve_models import MODELS, open_model
from serve_report import Book, Measure, measures_table, verdicts, verdicts_table

SCENARIOS: dict[str, Callable[[HttpBench], Awaitable[None]]] = {
    "streams": run_streams,
    "clients": run_clients,
    "full": run_full,
}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="`edgellm serve` over HTTP, against the engine and llama-server.")
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--model", choices=MODELS, default="smollm2-135m")
    parser.add_argument("--streams", type=lambda text: [int(word) for word in text.split(",")], default=[1, 8, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--work", type=Path, help="folder where the models stay for the next run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.scenarios if name not in SCENARIOS]:
        parser.error(f"unknown scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    return arguments


async def measured(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    bench = HttpBench(
        model=open_model(arguments.model, work),
        work=work,
        book=Book(),
        threads=arguments.threads,
        rounds=arguments.rounds,
        streams=arguments.streams,
        tokens=arguments.tokens,
    )
    for name in arguments.scenarios or SCENARIOS:
        print(f"== {name}", file=sys.stderr, flush=True)
        await SCENARIOS[name](bench)
    return {
        "machine": machine(),
        "threads": bench.threads,
        "rounds": bench.rounds,
        "measures": [vars(each) for each in bench.book.measures.values()],
        "notes": bench.book.notes,
    }


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="edgellm-bench-") as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        run = asyncio.run(measured(arguments, work))
    measures = [Measure(**row) for row in run["measures"]]
    found = verdicts(measures, TARGETS)
    if arguments.json:
        print(json.dumps(run | {"targets": [verdict._asdict() for verdict in found]}, indent=2))
        return
    print("\n".join(f"{key}: {value}" for key, value in run["machine"].items()))
    print(f"\n{measures_table(measures)}\n\n{verdicts_table(found)}\n")
    print("\n".join(f"- {note}" for note in run["notes"]))


if __name__ == "__main__":
    main()
