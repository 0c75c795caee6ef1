"""The sampling kernels against llama.cpp's chain, numpy and torch: one core, one run, taking turns.

usage: python tests/benchmarks/sampling.py [--quick] [--sizes 32000,151936] [--tiers avx2,avx512] [--repetitions 200]
       [--chains greedy,default] [--json] [--from RUN.json ...] [--plot FILE.svg] [--docs FILE.md]

Prints medians in microseconds and what of the targets is met. Needs a C++ compiler; torch takes part where it is
installed. --quick: one size, and only what the targets need. A full run takes ten minutes; nothing else should run on
the machine. The documents' numbers: sampling.py --json > run.json, then --from run.json --docs docs/benchmarks.md
--plot docs/images/sampling.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import machine
from sampling_chains import CHAINS, HISTORY, MASKED, PEERLESS, Peers, history, our_contender, our_eights
from sampling_forms import numpy_forms, torch_forms
from sampling_overhead import overhead
from sampling_plot import draw
from sampling_rows import KINDS, POOL_BYTES, Contender, Rows, take_turns
from sampling_tables import sizes_table, times_table
from sampling_targets import MEMORY, N_VOCAB, Times, targets_table, verdicts

from edgellm_runtimes import _sampling

SIZES = (32_000, 128_256, N_VOCAB, 262_144)
QUICK_REPETITIONS = 60
_COMPARED = 16  # rows
_BEGIN, _END = "<!-- sampling.py: begin -->", "<!-- sampling.py: end -->"


class Bench:
    """Times the chains of one vocabulary."""

    def __init__(self, n_vocab: int, tiers: list[str], peers: Peers, quick: bool) -> None:
        self.n_vocab, self.tiers, self.peers, self.quick = n_vocab, tiers, peers, quick
        self.numpy = numpy_forms(n_vocab, history(n_vocab))
        self.torch = {} if quick else torch_forms(n_vocab, history(n_vocab))

    def contenders(self, chain: str) -> list[Contender]:
        """Everyone who runs this chain."""
        found = [our_contender(tier, chain, self.n_vocab) for tier in self.tiers]
        if chain not in PEERLESS:
            found.append(self.peers.llama(chain, self.n_vocab))
        if not self.quick or chain in PEERLESS:
            found += [Contender(name, _of_vector(form)) for name, form in self.numpy.get(chain, {}).items()]
        if chain in self.torch:
            found.append(Contender("torch", _of_tensor(self.torch[chain])))
        return found

    def eights(self, chain: str) -> list[Contender]:
        """Eight rows in one call, in eight calls, and their plain maximum."""
        found = []
        for tier in self.tiers:
            found += our_eights(tier, chain, self.n_vocab)
            if chain == "greedy":
                found.append(self.peers.maximum(tier, self.n_vocab))
        return found

    def compare(self, chain: str, contenders: list[Contender], rows: Rows) -> None:
        """Who does something else is not timed: all must choose among the tokens that llama.cpp's chain leaves."""
        if chain in PEERLESS:
            return
        strays = dict.fromkeys([contender.name for contender in contenders], 0)
        for row in rows.single[:_COMPARED]:
            kept = self.peers.kept(chain, self.n_vocab, row)
            for contender in contenders:
                strays[contender.name] += _token(contender.choose(row)) not in kept
        for name, count in strays.items():
            if count > 1:  # one may be a token on the boundary
                raise SystemExit(f"error: {name} chose {count} of {_COMPARED} tokens that llama.cpp's {chain} drops")

    def run(self, rows: Rows, cold: bool, chains: list[str], repetitions: int) -> Times:
        """chain -> contender -> numbers."""
        times: Times = {}
        for chain in chains:
            contenders = self.contenders(chain)
            self.compare(chain, contenders, rows)
            take_turns(contenders, rows.single, repetitions, cold)
            times[chain] = {c.name: _numbers(c) for c in contenders}
            if chain in ("greedy", "default"):
                contenders = self.eights(chain)
                take_turns(contenders, rows.eights if cold else rows.same, repetitions, cold)
                times[f"eight rows, {chain}"] = {c.name: _numbers(c) for c in contenders}
        return times


def _of_vector(form: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda row: form(row.vector)


def _of_tensor(form: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda row: form(row.tensor)


def _numbers(contender: Contender) -> dict[str, float]:
    numbers = {"us": contender.median_us}
    if contender.without_fill:
        numbers["us_without_fill"] = contender.median_without_fill_us
    return numbers


def _token(result: Any) -> int:
    return int(result[0] if isinstance(result, list) else result)


def measure(arguments: argparse.Namespace, sizes: list[int], tiers: list[str]) -> dict[str, Any]:
    """Everything that is measured, as --json prints it."""
    wanted = [chain for chain in arguments.chains.split(",") if chain]
    chains = [name for name in (*CHAINS, *MASKED) if not wanted or any(name.startswith(word) for word in wanted)]
    repetitions = arguments.repetitions or (QUICK_REPETITIONS if arguments.quick else 200)
    peers = Peers()
    results: dict[str, dict[str, Times]] = {}
    for n_vocab in sizes:
        bench = Bench(n_vocab, tiers, peers, arguments.quick)
        cases = results[str(n_vocab)] = {}
        for kind in KINDS:
            rows = Rows(kind, n_vocab)
            for memory in MEMORY:
                print(f"{n_vocab} {kind} {memory}", file=sys.stderr, flush=True)
                cases[f"{kind} {memory}"] = bench.run(rows, memory == "cold", chains, repetitions)
            del rows
    small = overhead()
    return {
        "machine": machine(),
        "tiers": tiers,
        "repetitions": repetitions,
        "overhead": small,
        "results": results,
        "targets": [verdict._asdict() for verdict in verdicts(results.get(str(N_VOCAB), {}), tiers, small)],
    }


def merged(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Runs of different sizes as one; what is compared is always of the same run."""
    results = {size: cases for run in runs for size, cases in run["results"].items()}
    return runs[0] | {"results": dict(sorted(results.items(), key=lambda item: int(item[0])))}


def markdown(run: dict[str, Any]) -> str:
    """The tables."""
    tiers, results = run["tiers"], run["results"]
    head = (
        f"Medians of {run['repetitions']} interleaved repetitions. Cold: {POOL_BYTES >> 20} MiB of rows in turn. "
        f"Penalties look at {HISTORY} tokens. A call of eight rows of 64 tokens takes "
        f"{run['overhead']['us_per_row']:.2f} us a row, {run['overhead']['native_us_per_row']:.2f} of it native."
    )
    parts = [head]
    parts += [f"{int(size):,} tokens:\n\n{times_table(results[size], tiers)}" for size in main_sizes(results)]
    if len(results) > 1:
        parts.append(sizes_table(results, tiers))
    found = verdicts(results.get(str(N_VOCAB), {}), tiers, run["overhead"])
    return "\n\n".join([*parts, targets_table(list(found))])


def main_sizes(results: dict[str, Any]) -> list[str]:
    """Those with a table of their own: the one of the targets, or all where it was not run."""
    return [str(N_VOCAB)] if str(N_VOCAB) in results else list(results)


def put_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a document."""
    old = path.read_text(encoding="utf-8")
    before, _, rest = old.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise SystemExit(f"error: {path} has no {_BEGIN} ... {_END}")
    path.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="The sampling kernels against llama.cpp's chain, numpy and torch.")
    parser.add_argument("--sizes", default="", help="vocabularies, separated by commas")
    parser.add_argument("--tiers", default="", help=f"of {', '.join(_sampling.tiers())}; default: avx2 and the best")
    parser.add_argument("--chains", default="", help="the first words are enough, separated by commas")
    parser.add_argument("--repetitions", type=int, help=f"default: 200, with --quick {QUICK_REPETITIONS}")
    parser.add_argument("--quick", action="store_true", help="one size, without numpy and torch where no target is")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--from", dest="runs", nargs="+", type=Path, help="measure nothing; --json wrote these files")
    parser.add_argument("--plot", type=Path, help="draw the times as SVG")
    parser.add_argument("--docs", type=Path, help="put the tables between the marks of this document")
    arguments = parser.parse_args()
    if arguments.runs:
        run = merged([json.loads(path.read_text(encoding="utf-8")) for path in arguments.runs])
    else:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        best = _sampling.tiers()
        sizes = [int(size) for size in arguments.sizes.split(",") if size]
        tiers = [tier for tier in arguments.tiers.split(",") if tier] or [t for t in best if t in (best[0], "avx2")]
        run = measure(arguments, sizes or ([N_VOCAB] if arguments.quick else list(SIZES)), tiers)
    if arguments.plot:
        size = main_sizes(run["results"])[-1]
        draw(run["results"][size], int(size), run["machine"]["cpu"], arguments.plot)
    if arguments.docs:
        put_between_marks(arguments.docs, markdown(run))
    if arguments.json:
        print(json.dumps(run, indent=2))
    else:
        print("\n".join(f"{key}: {value}" for key, value in run["machine"].items()))
        print(f"\n{markdown(run)}")


if __name__ == "__main__":
    main()
