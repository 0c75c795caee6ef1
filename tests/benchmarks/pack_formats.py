"""`pack` to ONNX against `pack` to GGUF: the same checkpoint, in the same run, taking turns, without the smoke test.

usage: python tests/benchmarks/pack_formats.py [--shape llama3.2-1b] [--gguf Q4_K_M] [--onnx INT4_128_M,INT4_32]
       [--repeats 3] [--work DIR] [--json]

A checkpoint of the model's shape, with random weights, is made in --work, a temporary folder unless given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import Run, machine, run
from pack import ANONYMOUS_TARGET_BYTES, DEVICE, removed
from shapes import SHAPES, write_checkpoint

WALL_TARGET = 1.5

# The pipeline alone: loading the result is the runtimes' time, not the converters'.
CHILD = """
import sys
from pathlib import Path
from edgellm.bundle.folder_writer import layout_writer
from edgellm.devices.load import load_profile
from edgellm.progress import CancelToken, SilentProgress
from edgellm.sources.local import open_source
from edgellm_converters.pack import PackRequest, pack
source, output, format, recipe, device = sys.argv[1:]
request = PackRequest(open_source(source), (load_profile(device),), recipe=recipe, format=format)
pack(request, lambda: layout_writer(Path(output)), lambda *_: {}, lambda _: None, SilentProgress(), CancelToken())
"""


def packed(checkpoint: Path, work: Path, to_format: str, recipe: str) -> tuple[Run, int]:
    """One pack, and the bytes of its bundle."""
    bundle = work / "bundle"
    with removed(bundle):
        command = [sys.executable, "-P", "-c", CHILD, str(checkpoint), str(bundle), to_format, recipe, DEVICE]
        measured = run(command, work / "pack.log")
        return measured, sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())


def summary(turns: list[tuple[Run, int]], gguf: list[tuple[Run, int]]) -> dict[str, Any]:
    """Medians of times, the median of the ratios within a turn, the worst of memory."""
    ratios = [one.wall_s / other.wall_s for (one, _), (other, _) in zip(turns, gguf, strict=True)]
    return {
        "wall_s": statistics.median(one.wall_s for one, _ in turns),
        "cpu_s": statistics.median(one.cpu_s for one, _ in turns),
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "anonymous_bytes": max(one.peak_anonymous_bytes for one, _ in turns),
        "peak_rss_bytes": max(one.peak_rss_bytes for one, _ in turns),
        "result_bytes": turns[0][1],
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """The summaries as a Markdown table."""
    lines = [
        f"| recipe | wall, s | of the GGUF (target: {WALL_TARGET}) | CPU, s | anonymous MB (target: "
        f"{ANONYMOUS_TARGET_BYTES // 10**6}) | peak MB | result MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for recipe, row in results.items():
        sizes = [f"{row[key] / 1e6:.0f}" for key in ("anonymous_bytes", "peak_rss_bytes", "result_bytes")]
        cells = [f"{row['wall_s']:.1f}", f"{row['ratio']:.2f}", f"{row['cpu_s']:.1f}", *sizes]
        lines.append(f"| {recipe} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="pack to ONNX against pack to GGUF.")
    parser.add_argument("--shape", default="llama3.2-1b", choices=SHAPES)
    parser.add_argument("--gguf", default="Q4_K_M")
    parser.add_argument("--onnx", default="INT4_128_M,INT4_32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", type=Path, help="folder for the checkpoint and results; needs about 4 GB")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    jobs = [("gguf", arguments.gguf), *(("onnx", recipe) for recipe in arguments.onnx.split(","))]
    with tempfile.TemporaryDirectory(prefix="edgellm-bench-") as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        checkpoint = work / arguments.shape
        if not (checkpoint / "config.json").exists():
            write_checkpoint(SHAPES[arguments.shape], checkpoint)
        turns: dict[str, list[tuple[Run, int]]] = {recipe: [] for _, recipe in jobs}
        for _ in range(arguments.repeats):
            for to_format, recipe in jobs:
                turns[recipe].append(packed(checkpoint, work, to_format, recipe))
                print(f"{recipe}: {turns[recipe][-1][0].wall_s:.1f} s", file=sys.stderr, flush=True)
    results = {recipe: summary(found, turns[arguments.gguf]) for recipe, found in turns.items()}
    if arguments.json:
        print(json.dumps({"machine": machine(), "shape": arguments.shape, "results": results}, indent=2))
    else:
        print("\n".join(f"{key}: {value}" for key, value in machine().items()))
        print(table(results))


if __name__ == "__main__":
    main()
