"""Our ONNX runtime against onnxruntime-genai and our llama.cpp backend on a machine that is busy: turn by turn.

usage: python -P tests/benchmarks/onnx_turns.py [--shape NAME]... [--work FOLDER] [--processes N] [--steps N]

All are loaded into one process, each with one thread, and take turns step by step; what counts is the CPU time of that
thread, the median of the steps and the shorter of two prompts. Other programs then disturb all of them alike. Where a
process's memory happens to lie makes a difference of a tenth, so there are several processes: the table has the medians
of their ratios, and the least and the largest. The models are those of `onnx.py --prepare --work FOLDER`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

from measure import machine
from shapes import SHAPES

from edgellm.store.store import Store
from edgellm_runtimes.backend import TokenSlice
from edgellm_runtimes.load import bundle_request, load_backend

DEFAULT_SHAPES = ("smollm2-360m", "qwen2.5-0.5b")
PROMPT = [(7919 * (number + 1) + 1) % 8192 for number in range(512)]
STREAMS, CONTEXT = 8, 1024
PEER = "onnxruntime-genai"
OURS = {
    "ONNX INT4_128": ("onnx", True),
    "ONNX INT4_64": ("onnx-64", True),
    "ONNX INT4_32_SYM": ("onnx-32", True),
    "ONNX INT4_32_SYM, not prepared": ("onnx-32", False),
    "GGUF Q4_0": ("gguf", False),
}


@dataclass
class Candidate:
    """What takes turns."""

    prompt: Callable[[], None]  # read 512 tokens into an empty cache
    step: Callable[[], None]  # one more token
    streams: Callable[[], None] | None = None  # one more token for each of eight sequences that have read the prompt
    prompt_s: list[float] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)
    streams_s: list[float] = field(default_factory=list)


def genai(folder: Path) -> Candidate:
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(folder))
    held: list[Any] = []

    def prompt() -> None:
        params = onnxruntime_genai.GeneratorParams(model)
        params.set_search_options(max_length=CONTEXT, min_length=CONTEXT, do_sample=False)
        held[:] = [onnxruntime_genai.Generator(model, params)]
        held[0].append_tokens(PROMPT)

    return Candidate(prompt, lambda: held[0].generate_next_token())


def ours(store: Store, name: str, prepared: Path | None) -> Candidate:
    request = bundle_request(
        store.resolve(name), context=CONTEXT, sequences=STREAMS, threads=1, prepared_folder=prepared
    )
    backend, _info = load_backend(request)
    numbers = itertools.count(1)

    def prompt() -> None:
        backend.drop_sequence(0)
        backend.decode([TokenSlice(0, PROMPT, 1)])

    def step() -> None:
        backend.decode([TokenSlice(0, [31 * next(numbers) % 8192])])

    def streams() -> None:
        if backend.sequence_length(1) == 0:
            backend.truncate_sequence(0, len(PROMPT))
            for sequence in range(1, STREAMS):
                backend.copy_sequence(0, sequence)
        backend.decode([TokenSlice(sequence, [31 * next(numbers) % 8192]) for sequence in range(STREAMS)])

    return Candidate(prompt, step, streams)


def timed(action: Callable[[], None], times: list[float]) -> None:
    started = time.thread_time()
    action()
    times.append(time.thread_time() - started)


def measure(shape: str, work: Path, steps: int) -> dict[str, dict[str, float]]:
    """Ratios to onnxruntime-genai, and of eight streams to one, in this process."""
    store = Store(work / "home" / "store", work / "home" / "state")
    prepared = work / "home" / "cache" / "prepared"
    found = {PEER: genai(work / f"{shape}-genai")}
    for name, (tag, is_prepared) in OURS.items():
        found[name] = ours(store, f"{shape}:{tag}", prepared if is_prepared else None)
    for one in found.values():
        one.prompt()
    for turn in range(steps):
        for one in list(found.values())[:: 1 if turn % 2 else -1]:
            one.step()  # brings its weights into the cache that the others have filled
            timed(one.step, one.step_s)
    for one in found.values():
        for turn in range(steps // 4 if one.streams is not None else 0):
            timed(one.streams or one.step, one.streams_s if turn else [])
    for _, one in itertools.product(range(2), found.values()):
        timed(one.prompt, one.prompt_s)
    ratios = {}
    for name, one in found.items():
        step_s = statistics.median(one.step_s)
        ratios[name] = {
            "prompt": min(found[PEER].prompt_s) / min(one.prompt_s),
            "answer": statistics.median(found[PEER].step_s) / step_s,
            "streams": STREAMS * step_s / statistics.median(one.streams_s) if one.streams_s else 0.0,
        }
    return ratios


def report(shape: str, processes: list[dict[str, dict[str, float]]]) -> None:
    print(f"\n{shape}: times onnxruntime-genai; medians of {len(processes)} processes (least to largest)\n")
    print("| | prompt | answer | 8 streams / 1 |")
    print("|---|---:|---:|---:|")
    for name in OURS:
        cells = []
        for what in ("prompt", "answer", "streams"):
            values = [one[name][what] for one in processes]
            cells.append(f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Turn by turn on a busy machine.")
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES))
    parser.add_argument("--work", type=Path, default=Path("build/onnx-benchmark"))
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shapes = arguments.shape or DEFAULT_SHAPES
    if arguments.child:
        print(json.dumps(measure(shapes[0], arguments.work.absolute(), arguments.steps)))
        return
    print(machine())
    for shape in shapes:
        command = [sys.executable, "-P", __file__, "--child", "--shape", shape, "--work", str(arguments.work)]
        command += ["--steps", str(arguments.steps)]
        done = [subprocess.run(command, stdout=subprocess.PIPE, check=True) for _ in range(arguments.processes)]
        report(shape, [json.loads(one.stdout.splitlines()[-1]) for one in done])


if __name__ == "__main__":
    main()
