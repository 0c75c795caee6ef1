"""`edgellm pack` against the usual way (convert_hf_to_gguf.py, then llama-quantize), in the same run, taking turns.

usage: python tests/benchmarks/pack.py [--shapes qwen2.5-0.5b,llama3.2-1b] [--recipe Q4_K_M] [--repeats 3] [--json]

Needs the `oracle` extra and llama.cpp's tools (tests/oracle/build_tools.py). Checkpoints of the models' shapes, with
random weights, are made in --work, a temporary folder unless given; with --work they stay for the next run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measure import Run, machine, run
from shapes import SHAPES, write_checkpoint

ORACLE = Path(__file__).resolve().parent.parent / "oracle"
DEVICE = "raspberrypi5"
WALL_TARGET = 0.6
ANONYMOUS_TARGET_BYTES = 500_000_000
PEAK_TARGET_BYTES = 700_000_000


@dataclass
class Turn:
    """One comparison: the peer's two programs and ours, one after another."""

    convert: Run
    quantize: Run
    ours: Run
    result_bytes: int  # everything in the folder that --output names
    gguf_bytes: int  # llama-quantize's file

    @property
    def peer_wall_s(self) -> float:
        return self.convert.wall_s + self.quantize.wall_s


class Bench:
    """Runs the programs for one shape; `work` is where checkpoints and results go."""

    def __init__(self, work: Path, recipe: str, threads: int) -> None:
        self.work = work
        self.recipe = recipe
        self.threads = threads
        sys.path.insert(0, str(ORACLE))
        import oracle_tools

        if not oracle_tools.is_built():
            raise SystemExit("error: llama.cpp's tools are not built\nhint: python tests/oracle/build_tools.py")
        self.tools = oracle_tools

    def checkpoint(self, shape: str) -> Path:
        """The shape's checkpoint, made when it is not there yet."""
        folder = self.work / shape
        if not (folder / "config.json").exists():
            print(f"{shape}: writing a random checkpoint", file=sys.stderr, flush=True)
            write_checkpoint(SHAPES[shape], folder)
        return folder

    def turn(self, shape: str) -> Turn:
        """Everything once. What a turn writes is removed before the next program starts."""
        checkpoint, log = self.checkpoint(shape), self.work / f"{shape}.log"
        middle, theirs = self.work / f"{shape}.bf16.gguf", self.work / f"{shape}.gguf"
        bundle = self.work / f"{shape}.bundle"
        with removed(middle, theirs, bundle):
            convert = run(self.tools.convert_command(checkpoint, middle, "bf16", shape), log)
            tool = str(self.tools.llama_tool("llama-quantize"))
            quantize = run([tool, str(middle), str(theirs), self.recipe, str(self.threads)], log)
            gguf_bytes = theirs.stat().st_size
        with removed(bundle), tempfile.TemporaryDirectory(dir=self.work) as home:
            ours = run(self.pack_command(checkpoint, bundle), log, {**os.environ, "EDGELLM_HOME": home})
            result_bytes = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
        return Turn(convert, quantize, ours, result_bytes, gguf_bytes)

    def pack_command(self, checkpoint: Path, bundle: Path) -> list[str]:
        """Our side of the comparison."""
        program = str(Path(sys.executable).with_name("edgellm"))
        options = ["--device", DEVICE, "--quant", self.recipe, "--threads", str(self.threads)]
        return [program, "pack", str(checkpoint), *options, "--output", str(bundle), "--quiet"]


@contextmanager
def removed(*paths: Path) -> Iterator[None]:
    """The paths do not exist before and after."""
    _remove(paths)
    try:
        yield
    finally:
        _remove(paths)


def _remove(paths: tuple[Path, ...]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def summary(turns: list[Turn]) -> dict[str, Any]:
    """Medians of times, ratios within each turn, the worst of memory and bytes."""
    return {
        "convert_s": statistics.median(turn.convert.wall_s for turn in turns),
        "quantize_s": statistics.median(turn.quantize.wall_s for turn in turns),
        "peer_s": statistics.median(turn.peer_wall_s for turn in turns),
        "ours_s": statistics.median(turn.ours.wall_s for turn in turns),
        "ratio": statistics.median(turn.ours.wall_s / turn.peer_wall_s for turn in turns),
        "ratios": [round(turn.ours.wall_s / turn.peer_wall_s, 3) for turn in turns],
        "ours_cpu_s": statistics.median(turn.ours.cpu_s for turn in turns),
        "peer_cpu_s": statistics.median(turn.convert.cpu_s + turn.quantize.cpu_s for turn in turns),
        "anonymous_bytes": max(turn.ours.peak_anonymous_bytes for turn in turns),
        "peak_rss_bytes": max(turn.ours.peak_rss_bytes for turn in turns),
        "file_bytes": max(turn.ours.peak_file_bytes for turn in turns),
        "peer_peak_rss_bytes": max(max(t.convert.peak_rss_bytes, t.quantize.peak_rss_bytes) for t in turns),
        "written_bytes": max(turn.ours.written_bytes for turn in turns),
        "result_bytes": turns[0].result_bytes,
        "peer_gguf_bytes": turns[0].gguf_bytes,
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """The summaries as a Markdown table."""
    rows: list[tuple[str, str, str]] = [
        ("convert_hf_to_gguf.py, s", "convert_s", ".1f"),
        ("llama-quantize, s", "quantize_s", ".1f"),
        ("both, s", "peer_s", ".1f"),
        ("edgellm pack with its smoke test, s", "ours_s", ".1f"),
        (f"ratio (target: at most {WALL_TARGET})", "ratio", ".2f"),
        ("CPU time of theirs, s", "peer_cpu_s", ".1f"),
        ("CPU time of ours, s", "ours_cpu_s", ".1f"),
        (f"anonymous memory, MB (target: {ANONYMOUS_TARGET_BYTES // 10**6})", "anonymous_bytes", "MB"),
        (f"peak memory, MB (target: {PEAK_TARGET_BYTES // 10**6})", "peak_rss_bytes", "MB"),
        ("of it mapped files, MB", "file_bytes", "MB"),
        ("peak memory of theirs, MB", "peer_peak_rss_bytes", "MB"),
        ("bytes written", "written_bytes", "d"),
        ("size of the result, bytes", "result_bytes", "d"),
    ]
    lines = ["| | " + " | ".join(results) + " |", "|---|" + "---:|" * len(results)]
    for title, key, form in rows:
        cells = [f"{r[key] / 1e6:.0f}" if form == "MB" else format(r[key], form) for r in results.values()]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="edgellm pack against convert_hf_to_gguf.py and llama-quantize.")
    parser.add_argument("--shapes", default="qwen2.5-0.5b,llama3.2-1b")
    parser.add_argument("--recipe", default="Q4_K_M")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", type=Path, help="folder for checkpoints and results; needs about 8 GB")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    shapes = arguments.shapes.split(",")
    if unknown := [shape for shape in shapes if shape not in SHAPES]:
        parser.error(f"unknown shape {unknown[0]}; there are {', '.join(SHAPES)}")
    with tempfile.TemporaryDirectory(prefix="edgellm-bench-") as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(work.resolve(), arguments.recipe, arguments.threads)
        turns: dict[str, list[Turn]] = {shape: [] for shape in shapes}
        for repeat in range(arguments.repeats):
            for shape in shapes:
                turn = bench.turn(shape)
                turns[shape].append(turn)
                line = f"{shape} {repeat + 1}/{arguments.repeats}: theirs {turn.peer_wall_s:.1f} s"
                print(f"{line}, ours {turn.ours.wall_s:.1f} s", file=sys.stderr, flush=True)
    results = {shape: summary(turns[shape]) for shape in shapes}
    if arguments.json:
        every = {shape: [asdict(turn) for turn in turns[shape]] for shape in shapes}
        print(json.dumps({"machine": machine(), "results": results, "turns": every}, indent=2))
    else:
        print("\n".join(f"{key}: {value}" for key, value in machine().items()))
        print(table(results))


if __name__ == "__main__":
    main()
