"""Two models that work at once on the same cores: with turns at computing, without them, and one after the other.

usage: python tests/benchmarks/turns.py MODEL.gguf [--embed] [--threads N] [--tokens N] [--rounds N] [--json]

Two processes hold the model; in each round they work alone, then both at once without turns, then both with turns. Both
generate; with --embed one of them embeds texts meanwhile. A ratio is the time of both alone against the time until both
are done: 1 is what turns can reach at most. Prints the cost of a turn that nobody contests, too. Nothing else should
run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import machine

from edgellm_runtimes.compute_lease import ComputeLease

if TYPE_CHECKING:
    from edgellm_runtimes.engine import Engine

WORK = ("generate", "embed")
TEXTS, TEXT_TOKENS = 32, 64  # that are embedded
FORMS = ("free", "turns")
TURNS = 20_000


async def generate(engine: Engine, tokens: int) -> None:
    """One text of ``tokens`` tokens."""
    params = engine.params(max_tokens=tokens, temperature=0.0, ignore_eos=True)
    async for _ in engine.generate([5], params):
        pass


async def embed(engine: Engine) -> None:
    """Texts, all at once."""
    await engine.embed([[5 + place] * TEXT_TOKENS for place in range(TEXTS)])


async def serve(model: Path, lock: Path, threads: int, tokens: int, work: str) -> None:
    """A child: works at each line that it reads, "free" or "turns"; answers when it began and ended."""
    from edgellm.progress import SilentProgress
    from edgellm_runtimes.engine import Engine
    from edgellm_runtimes.load import LoadRequest, load_backend

    request = LoadRequest(
        model_path=model, context=tokens + 64, ubatch=64, threads=threads, batch_threads=threads, force=True
    )
    engines = {}
    for name, lease in (("free", None), ("turns", ComputeLease(lock))):
        backend, info = load_backend(request, progress=SilentProgress())
        engines[name] = Engine(backend, info, lease=lease)
        await generate(engines[name], 8)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        begun = time.monotonic()
        engine = engines[line.strip()]
        await (embed(engine) if work == "embed" else generate(engine, tokens))
        print(json.dumps([begun, time.monotonic()]), flush=True)


class Child:
    """A process with the model, loaded twice: without turns and with them."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, "--serve", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "ready"

    def begin(self, form: str) -> None:
        """Start one text."""
        assert self._process.stdin is not None
        self._process.stdin.write(form + "\n")
        self._process.stdin.flush()

    def end(self) -> tuple[float, float]:
        """Wait for it. Returns when it began and ended, in seconds."""
        begun, ended = json.loads(self._answer())
        return begun, ended

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def together(children: list[Child], form: str) -> float:
    """Seconds until all children have done their work."""
    for child in children:
        child.begin(form)
    times = [child.end() for child in children]
    return max(end for _, end in times) - min(begun for begun, _ in times)


def cost_of_a_turn(lock: Path) -> float:
    """Seconds to take a turn that nobody contests, and to give it back."""
    turn = ComputeLease(lock).turn()
    begun = time.perf_counter()
    for _ in range(TURNS):
        with turn:
            pass
    return (time.perf_counter() - begun) / TURNS


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """What --json prints."""
    ratios: dict[str, list[float]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "compute.lock"
        cost_s = cost_of_a_turn(lock)
        arguments = [str(options.model), "--lock", str(lock)]
        arguments += ["--threads", str(options.threads), "--tokens", str(options.tokens)]
        children = [Child(*arguments, "--work", work) for work in ("generate", WORK[options.embed])]
        for _ in range(options.rounds):
            for form, found in ratios.items():
                alone_s = sum(together([child], form) for child in children)
                found.append(alone_s / together(children, form))
                print(f"{form}: alone {alone_s:.2f} s, {found[-1]:.3f} x", file=sys.stderr, flush=True)
        for child in children:
            child.close()
    return {
        "machine": machine(),
        "turn_us": cost_s * 1e6,
        "ratios": ratios,
        "medians": {form: statistics.median(found) for form, found in ratios.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--embed", action="store_true", help="one of the two embeds texts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lock", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", choices=WORK, default="generate", help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.model, options.lock, options.threads, options.tokens, options.work))
        return
    found = measure(options)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"a turn alone: {found['turn_us']:.1f} us")
    print("; ".join(f"{form}: median {median:.3f} x" for form, median in found["medians"].items()))


if __name__ == "__main__":
    main()
