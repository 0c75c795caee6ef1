"""Our ONNX runtime against onnxruntime-genai and against our llama.cpp backend, on models of known shapes.

usage: python -P tests/benchmarks/onnx.py [--shape NAME]... [--work FOLDER] [--rounds N] [--threads N] [--json FILE]

Everything is measured in turn, each model in a process of its own, with the same number of threads; medians count.
onnxruntime-genai runs the graph of its own builder (int4, blocks of 32, accuracy level 4) where the builder can run
(`pip install onnx-ir`, beside the extra `oracle`), else ours. Ours runs INT4_128, the fastest recipe of 4 bits,
INT4_64, which rounds no worse than the builder's graph (onnx_recipes.py --builder), and INT4_32_SYM, with the blocks of
that graph; the GGUF is Q4_0. Memory is that of a default load, and of ours also with prepared weights.

The weights are random: only sizes and types matter. Run it on a machine that does nothing else; on another one
onnx_turns.py compares CPU times.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    raise ImportError("this benchmark is not the package onnx: run Python with -P, or from another folder")

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE))

from measure import machine  # noqa: E402
from shapes import SHAPES, write_checkpoint  # noqa: E402

from edgellm.progress import CancelToken  # noqa: E402
from edgellm.store.store import Store  # noqa: E402
from edgellm_runtimes.bench import BenchWork, bench_model  # noqa: E402
from edgellm_runtimes.load import bundle_request  # noqa: E402

DEFAULT_SHAPES = ("smollm2-360m", "qwen2.5-0.5b")
PROMPT_TOKENS, DECODE_TOKENS, STREAMS, CONTEXT = 512, 24, 8, 1024
WORK = BenchWork(PROMPT_TOKENS, DECODE_TOKENS, STREAMS)
FORMS = {"onnx": "INT4_128", "onnx-64": "INT4_64", "onnx-32": "INT4_32_SYM", "gguf": "Q4_0"}
CANDIDATES = {
    "edgellm ONNX": "onnx",
    "edgellm ONNX, not prepared": "onnx",
    "edgellm ONNX, blocks of 64": "onnx-64",
    "edgellm ONNX, blocks of 32": "onnx-32",
    "edgellm GGUF": "gguf",
}
DECODE, PREFILL, STREAMED, MEMORY = 1.05, 1.2, 2.0, 0.25  # targets; the last is a most


def edgellm(work: Path, *arguments: str) -> None:
    """Run our command line with its home in ``work``."""
    environment = {**os.environ, "EDGELLM_HOME": str(work / "home")}
    command = [sys.executable, "-P", "-m", "edgellm.cli.main", *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def builder_graph(checkpoint: Path, folder: Path, work: Path, threads: int) -> str:
    """The graph of onnxruntime-genai's builder in ``folder``; returns whose graph it is."""
    if not (folder / "genai_config.json").exists():
        command = [sys.executable, "-P", "-m", "onnxruntime_genai.models.builder", "-i", str(checkpoint)]
        command += ["-o", str(folder), "-p", "int4", "-e", "cpu", "-c", str(work / "builder-cache")]
        (work / "builder-cache").mkdir(exist_ok=True)
        done = subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
        if done.returncode != 0:
            return ""
    set_threads(folder / "genai_config.json", threads)
    return "its own builder's"


def set_threads(path: Path, threads: int) -> None:
    """Let onnxruntime-genai use so many threads, and room for no more than what is measured."""
    config = json.loads(path.read_text())
    config["model"]["decoder"].setdefault("session_options", {})["intra_op_num_threads"] = threads
    config["search"]["max_length"] = CONTEXT
    path.write_text(json.dumps(config))


def our_folder(files: dict[str, Path], folder: Path, threads: int) -> str:
    """Our bundle as files in a folder, for onnxruntime-genai."""
    folder.mkdir(exist_ok=True)
    for name, path in files.items():
        target = folder / name
        target.unlink(missing_ok=True)
        if name.endswith(".json"):
            target.write_bytes(path.read_bytes())
        else:
            os.link(path, target)
    set_threads(folder / "genai_config.json", threads)
    return "ours"


def genai(folder: Path) -> dict[str, Any]:
    """One measurement of onnxruntime-genai."""
    command = [sys.executable, "-P", str(HERE / "onnx_genai_child.py"), str(folder)]
    done = subprocess.run([*command, str(PROMPT_TOKENS), str(DECODE_TOKENS)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"onnxruntime-genai failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_shape(name: str, work: Path, rounds: int, threads: int) -> dict[str, Any]:
    """All candidates of one shape: a list of measurements for each."""
    checkpoint = work / name
    if not (checkpoint / "config.json").exists():
        write_checkpoint(SHAPES[name], checkpoint)
    bundle = {}
    store = Store(work / "home" / "store", work / "home" / "state")
    for form, recipe in FORMS.items():
        tag = f"{name}:{form}"
        if all(row.full_name != tag for row in store.list()):
            options = ["--quant", recipe, "--name", tag, "--context", str(CONTEXT), "--format", form[:4]]
            edgellm(work, "pack", str(checkpoint), "--device", "local", *options)
        bundle[form] = store.resolve(tag)
    whose = builder_graph(checkpoint, work / f"{name}-genai", work, threads)
    folder = work / f"{name}-genai"
    if not whose:
        folder = work / f"{name}-files"
        whose = our_folder(bundle["onnx"].files, folder, threads)
    print(f"{name}: onnxruntime-genai runs {whose} graph", file=sys.stderr)

    def ours(form: str, prepared: bool, work_: BenchWork = WORK) -> dict[str, Any]:
        opened = bundle[form]
        request = bundle_request(
            opened,
            context=CONTEXT,
            sequences=STREAMS,
            threads=threads,
            prepared_folder=work / "home" / "cache" / "prepared" if prepared else None,
        )
        found = bench_model(request, work_, cancel=CancelToken())
        return {field: getattr(found, field) for field in found.__struct_fields__}

    candidates: dict[str, Callable[[], dict[str, Any]]] = {PEER: lambda: genai(folder)}
    for candidate, form in CANDIDATES.items():
        prepared = form != "gguf" and "not prepared" not in candidate
        candidates[candidate] = functools.partial(ours, form, prepared)
    if not (work / f"{name}.jsonl").exists():
        for form in FORMS.keys() - {"gguf"}:
            ours(form, True, BenchWork(8, 8, 1))  # prepares the weights
    log = work / f"{name}.jsonl"  # a run that is cut short can be gone on with: --rounds counts what is there
    found = read_log(log, candidates)
    while min(map(len, found.values())) < rounds:
        candidate = min(found, key=lambda each: len(found[each]))
        print(f"  round {len(found[candidate]) + 1}: {candidate}", file=sys.stderr, flush=True)
        found[candidate].append(candidates[candidate]())
        with log.open("a") as file:
            file.write(json.dumps({"candidate": candidate, "run": found[candidate][-1]}) + "\n")
    return {"graph": whose, "runs": found}


def read_log(path: Path, candidates: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """The measurements of each candidate that are there."""
    found: dict[str, list[dict[str, Any]]] = {candidate: [] for candidate in candidates}
    for line in path.read_text().splitlines() if path.exists() else ():
        entry = json.loads(line)
        found[entry["candidate"]].append(entry["run"])
    return found


def median(runs: list[dict[str, Any]], field: str) -> float:
    return statistics.median(run[field] for run in runs)


def report(name: str, found: dict[str, Any]) -> None:
    runs = found["runs"]
    print(f"\n{name}; onnxruntime-genai runs {found['graph']} graph\n")
    print("| | load s | prefill tok/s | decode tok/s | 8 streams tok/s | own memory after load MiB | and computing |")
    print("|---|---|---|---|---|---|---|")
    for candidate, each in runs.items():
        streams = f"{median(each, 'streams_tokens_per_s'):.1f}" if "streams_tokens_per_s" in each[0] else ""
        cells = [f"{median(each, field):.{digits}f}" for field, digits in FIELDS]
        memory = [f"{median(each, field) / 2**20:.0f}" for field in ("loaded_bytes", "anonymous_bytes")]
        print(f"| {candidate} | {' | '.join([*cells, streams, *memory])} |")
    peer = runs[PEER]
    print()
    for candidate, form in CANDIDATES.items():
        each = runs[candidate]
        if form == "gguf" or "not prepared" in candidate:
            continue
        decode, prefill = (median(each, field) / median(peer, field) for field in PEER_FIELDS)
        streams = median(each, "streams_tokens_per_s") / median(each, "decode_tokens_per_s")
        print(f"{FORMS[form]} / genai: decode {judged(decode, DECODE)}, prefill {judged(prefill, PREFILL)}; ", end="")
        print(f"8 streams / one {judged(streams, STREAMED)}")
    memory = median(runs["edgellm ONNX"], "loaded_bytes") / median(runs["edgellm ONNX, not prepared"], "loaded_bytes")
    print(f"anonymous memory, prepared / default: {memory:.2f} ({'met' if memory <= MEMORY else 'missed'}: {MEMORY})")


def judged(ratio: float, least: float) -> str:
    return f"{ratio:.2f} ({'met' if ratio >= least else 'missed'}: {least})"


PEER = "onnxruntime-genai"
PEER_FIELDS = ("decode_tokens_per_s", "prefill_tokens_per_s")
FIELDS = (("load_s", 2), ("prefill_tokens_per_s", 1), ("decode_tokens_per_s", 1))


def main() -> None:
    parser = argparse.ArgumentParser(description="Our ONNX runtime against onnxruntime-genai and llama.cpp.")
    chosen = f"default: {', '.join(DEFAULT_SHAPES)}"
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES), help=chosen)
    parser.add_argument("--work", type=Path, default=Path("build/onnx-benchmark"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prepare", action="store_true", help="make the models and measure nothing")
    parser.add_argument("--json", type=Path, help="write every measurement here")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in arguments.shape or DEFAULT_SHAPES:
        results[name] = measure_shape(name, work, 0 if arguments.prepare else arguments.rounds, arguments.threads)
    if arguments.prepare:
        return
    print(json.dumps(machine()))
    for name, found in results.items():
        report(name, found)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"machine": machine(), "shapes": results}, indent=1))


main()
