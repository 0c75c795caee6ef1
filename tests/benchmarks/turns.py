"""Two models that generate at once on the same cores: with turns at computing, without them, and one after the other.

usage: python tests/benchmarks/turns.py MODEL.gguf [--threads N] [--tokens N] [--rounds N]

Two processes hold the model; in each round they generate alone, then both at once without turns, then both with turns.
A ratio is all tokens per second against the mean of those alone: 1 is what turns can reach at most. Prints the cost of
a turn that nobody contests, too. Nothing else should run.
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
from typing import TYPE_CHECKING

from edgellm_runtimes.compute_lease import ComputeLease

if TYPE_CHECKING:
    from edgellm_runtimes.engine import Engine

CHILDREN = 2
TURNS = 20_000


async def generate(engine: Engine, tokens: int) -> None:
    """One text of ``tokens`` tokens."""
    params = engine.params(max_tokens=tokens, temperature=0.0, ignore_eos=True)
    async for _ in engine.generate([5], params):
        pass


async def serve(model: Path, lock: Path, threads: int, tokens: int) -> None:
    """A child: generates at each line that it reads, "free" or "turns"; answers when it began and ended."""
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
        await generate(engines[line.strip()], tokens)
        print(json.dumps([begun, time.monotonic()]), flush=True)


class Child:
    """A process with the model, loaded twice: without turns and with them."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, *arguments, "--serve"]
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


def together(children: list[Child], form: str, tokens: int) -> float:
    """Tokens per second of all children while the slowest ran."""
    for child in children:
        child.begin(form)
    times = [child.end() for child in children]
    return len(children) * tokens / (max(end for _, end in times) - min(begun for begun, _ in times))


def cost_of_a_turn(lock: Path) -> float:
    """Seconds to take a turn that nobody contests, and to give it back."""
    turn = ComputeLease(lock).turn()
    begun = time.perf_counter()
    for _ in range(TURNS):
        with turn:
            pass
    return (time.perf_counter() - begun) / TURNS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lock", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.model, options.lock, options.threads, options.tokens))
        return
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "compute.lock"
        print(f"a turn alone: {cost_of_a_turn(lock) * 1e6:.1f} us")
        arguments = [str(options.model), "--lock", str(lock)]
        arguments += ["--threads", str(options.threads), "--tokens", str(options.tokens)]
        children = [Child(*arguments) for _ in range(CHILDREN)]
        ratios: dict[str, list[float]] = {"free": [], "turns": []}
        for _ in range(options.rounds):
            alone = statistics.mean(
                together([child], form, options.tokens) for child in children for form in ("free", "turns")
            )
            for form, found in ratios.items():
                found.append(together(children, form, options.tokens) / alone)
            print(
                f"alone {alone:.1f} tokens/s; " + ", ".join(f"{form} {all_[-1]:.3f} x" for form, all_ in ratios.items())
            )
        print(", ".join(f"{form}: median {statistics.median(found):.3f} x" for form, found in ratios.items()))
        for child in children:
            child.close()


if __name__ == "__main__":
    main()
