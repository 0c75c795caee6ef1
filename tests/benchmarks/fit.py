"""The fit model against this machine: memory of the whole process for 24 ways to run a model, and speed.

usage: python tests/benchmarks/fit.py [memory|speed] [--work DIR] [--json]

Memory: for three models, two recipes, two contexts, with and without repacked weights, one process loads the model,
reads a prompt of 512 tokens and writes 16; its resident set is compared with what `edgellm fit` counts for the process
(weights, copy, KV cache, compute buffer, overhead; the reserve for the system is no part of it).

Speed: the machine is measured as `edgellm devices detect --measure` does it; then the ranges that `edgellm fit` prints
for the same models are compared with prompts of 512 tokens and the 63 tokens after them: medians of five in a process,
and of three processes that lie apart. Nothing else should run.

The models have the shapes of real ones and random weights. They are made in --work (1.7 GB, and 4 GB meanwhile), a
temporary folder unless given; with --work they stay for the next run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measure import machine
from shapes import SHAPES, write_checkpoint

from edgellm.devices.calibration import apply_calibration
from edgellm.devices.fit import RunSettings, SpeedRange, estimate
from edgellm.devices.gguf_shape import shape_from_gguf
from edgellm.devices.local import detect_local
from edgellm.devices.profile import Profile
from edgellm.formats.gguf import read_header
from edgellm.progress import CancelToken, SilentProgress
from edgellm_runtimes.calibrate import measure

CHILD = Path(__file__).with_name("fit_child.py")
MODELS = ("smollm2-135m", "qwen2.5-0.5b", "llama3.2-1b")
RECIPES = ("Q4_0", "Q4_K_M")
CONTEXTS = (1024, 4096)
TOKENS = 16
SPEED_ROUNDS = 3
MEMORY_TARGET = 0.10
RANGE_TARGET = 0.20


@dataclass
class MemoryRow:
    """One process, predicted and measured, in bytes."""

    model: str
    recipe: str
    context: int
    repack: bool
    predicted_bytes: int
    rss_bytes: int
    anonymous_bytes: int
    file_bytes: int

    @property
    def error(self) -> float:
        return self.predicted_bytes / self.rss_bytes - 1


@dataclass
class SpeedRow:
    """One speed in tokens per second, predicted and measured."""

    model: str
    recipe: str
    repack: bool
    what: str
    low: float
    high: float
    measured: float

    @property
    def width(self) -> float:
        return (self.high - self.low) / (self.high + self.low)

    @property
    def inside(self) -> bool:
        return self.low <= self.measured <= self.high


def model_file(work: Path, name: str, recipe: str) -> Path:
    """The GGUF inside a bundle of the shape, packed when it is not there yet."""
    bundle = work / f"{name}-{recipe}"
    if not bundle.exists():
        checkpoint = work / name
        if not (checkpoint / "config.json").exists():
            print(f"{name}: writing a random checkpoint", file=sys.stderr, flush=True)
            write_checkpoint(SHAPES[name], checkpoint)
        print(f"{name}: packing {recipe}", file=sys.stderr, flush=True)
        program = str(Path(sys.executable).with_name("edgellm"))
        command = [program, "pack", str(checkpoint), "--device", "local", "--quant", recipe, "--output", str(bundle)]
        with tempfile.TemporaryDirectory(dir=work) as home:
            subprocess.run([*command, "--quiet"], check=True, env={**os.environ, "EDGELLM_HOME": home})
    return max(bundle.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)


def child(mode: str, path: Path, context: int, repack: bool) -> dict[str, Any]:
    """What fit_child.py measured."""
    command = [sys.executable, str(CHILD), mode, str(path), str(context), str(int(repack))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"error: {' '.join(command)} ended with status {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def cases() -> Iterator[tuple[str, str, bool]]:
    """Model, recipe, repack."""
    return ((name, recipe, repack) for name in MODELS for recipe in RECIPES for repack in (True, False))


def memory_rows(work: Path, profile: Profile) -> Iterator[MemoryRow]:
    for name, recipe, repack in cases():
        path = model_file(work, name, recipe)
        shape = shape_from_gguf(read_header(path))
        for context in CONTEXTS:
            run = RunSettings(context=context, repack=repack, n_outputs=1)
            predicted = estimate(shape, profile, run).memory.total_bytes
            found = child("memory", path, context, repack)
            yield MemoryRow(name, recipe, context, repack, predicted, **found)


def speed_rows(files: dict[tuple[str, str, bool], Path], profile: Profile) -> Iterator[SpeedRow]:
    measured: dict[tuple[str, str, bool], list[dict[str, Any]]] = {case: [] for case in files}
    for _ in range(SPEED_ROUNDS):  # apart from each other: memory is not equally fast at all times
        for case, path in files.items():
            measured[case].append(child("speed", path, 1024, case[2]))
    for (name, recipe, repack), path in files.items():
        found = estimate(
            shape_from_gguf(read_header(path)), profile, RunSettings(context=1024, repack=repack, n_outputs=1)
        )
        ranges: dict[str, SpeedRange | None] = {"decode": found.decode, "prefill": found.prefill}
        for what, speed in ranges.items():
            assert speed is not None
            usual = statistics.median(row[what] for row in measured[name, recipe, repack])
            yield SpeedRow(name, recipe, repack, what, speed.low, speed.high, usual)


class _Phases(SilentProgress):
    """What is being measured, on stderr."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        print(name, file=sys.stderr, flush=True)


def memory_table(rows: list[MemoryRow]) -> str:
    lines = [
        "| model | recipe | context | repacked | predicted MB | measured MB | mapped | error |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [row.model, row.recipe, str(row.context), "yes" if row.repack else "no"]
        cells += [f"{size / 1e6:.0f}" for size in (row.predicted_bytes, row.rss_bytes, row.file_bytes)]
        lines.append("| " + " | ".join([*cells, f"{row.error:+.1%}"]) + " |")
    return "\n".join(lines)


def speed_table(rows: list[SpeedRow]) -> str:
    lines = [
        "| model | recipe | repacked | | predicted tokens/s | width | measured | |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    for row in rows:
        low, high, measured = (f"{float(f'{speed:.3g}'):g}" for speed in (row.low, row.high, row.measured))
        cells = [row.model, row.recipe, "yes" if row.repack else "no", row.what, f"{low} - {high}"]
        cells += [f"+-{row.width:.0%}", measured, "inside" if row.inside else "outside"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(kind: str, rows: list[Any], passed: int, target: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"machine": machine(), kind: [asdict(row) for row in rows], "passed": passed}, indent=2))
        return
    print("\n".join(f"{key}: {value}" for key, value in machine().items()))
    print(speed_table(rows) if kind == "speed" else memory_table(rows))
    print(f"{passed} of {len(rows)} {target}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The fit model against this machine.")
    parser.add_argument("kind", nargs="?", choices=("memory", "speed"), default="memory")
    parser.add_argument("--work", type=Path, help="folder for the models; needs 6 GB")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    temporary = None if arguments.work else Path(tempfile.mkdtemp(prefix="edgellm-bench-"))
    work = (arguments.work or temporary).resolve()
    work.mkdir(parents=True, exist_ok=True)
    try:
        profile = detect_local()
        if arguments.kind == "memory":
            memories = list(memory_rows(work, profile))
            good = sum(abs(row.error) <= MEMORY_TARGET for row in memories)
            report("memory", memories, good, f"within {MEMORY_TARGET:.0%}", arguments.json)
        else:
            files = {case: model_file(work, *case[:2]) for case in cases()}  # before anything is timed
            speeds = list(speed_rows(files, apply_calibration(profile, measure(_Phases(), CancelToken()))))
            good = sum(row.inside and row.width <= RANGE_TARGET + 5e-3 for row in speeds)
            report("speed", speeds, good, f"inside a range of at most +-{RANGE_TARGET:.0%}", arguments.json)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary)


if __name__ == "__main__":
    main()
