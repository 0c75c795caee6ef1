"""Our ONNX runtime against onnxruntime-genai and our llama.cpp backend on a machine that is busy: turn by turn.

usage: python -P tests/benchmarks/onnx_turns.py [--shape NAME]... [--work FOLDER] [--steps N] [--prompts N]

All are loaded into one process, each with one thread, and take turns step by step; what counts is the CPU time of that
thread, medians of the steps and the shortest prompt. Other programs then disturb all of them alike, so the ratios hold
where times do not. The models are those of `onnx.py --prepare --work FOLDER`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
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


def measure_shape(shape: str, work: Path, steps: int, prompts: int) -> dict[str, Candidate]:
    store = Store(work / "home" / "store", work / "home" / "state")
    prepared = work / "home" / "cache" / "prepared"
    found = {PEER: genai(work / f"{shape}-genai")}
    for name, (tag, is_prepared) in OURS.items():
        found[name] = ours(store, f"{shape}:{tag}", prepared if is_prepared else None)
    for _, one in itertools.product(range(prompts), found.values()):
        timed(one.prompt, one.prompt_s)
    for turn in range(steps):
        for one in list(found.values())[:: 1 if turn % 2 else -1]:
            one.step()  # brings its weights into the cache that the others have filled
            timed(one.step, one.step_s)
    for one in found.values():
        for turn in range(steps // 4 if one.streams is not None else 0):
            timed(one.streams or one.step, one.streams_s if turn else [])
    return found


def report(shape: str, found: dict[str, Candidate]) -> None:
    peer = found[PEER]
    print(f"\n{shape}, CPU time of one thread\n")
    print("| | prompt s | x genai | answer ms/token | x genai | 8 streams / 1 |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, one in found.items():
        prompt_s, step_s = min(one.prompt_s), statistics.median(one.step_s)
        ratios = (min(peer.prompt_s) / prompt_s, statistics.median(peer.step_s) / step_s)
        streams = f"{STREAMS * step_s / statistics.median(one.streams_s):.2f}" if one.streams_s else ""
        print(f"| {name} | {prompt_s:.2f} | {ratios[0]:.2f} | {1000 * step_s:.2f} | {ratios[1]:.2f} | {streams} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Turn by turn on a busy machine.")
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES))
    parser.add_argument("--work", type=Path, default=Path("build/onnx-benchmark"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--prompts", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    for shape in arguments.shape or DEFAULT_SHAPES:
        report(shape, measure_shape(shape, arguments.work.absolute(), arguments.steps, arguments.prompts))


if __name__ == "__main__":
    main()
