"""N streams at once: tokens per second of all together, and the gaps between the tokens of one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import oracle_tools
from serve_bench import Bench, Load, streams_name, take_turns
from serve_load import Ask, Outcome
from serve_models import Model
from serve_ours import UBATCH
from serve_peers import BATCH
from serve_report import OURS, WORKER, Target

__all__ = ["TARGETS", "run", "streams_load"]

FLOOR = Path(__file__).with_name("serve_floor.py")
SPEED, GAP = "tokens/s", "median gap, ms"
CONTEXT = 256  # of each sequence
PROMPT = TOKENS = 64
STREAMS, QUICK_STREAMS = (1, 4, 8, 16), (8,)
MANY = tuple(streams_name(streams) for streams in STREAMS[1:])

TARGETS = (
    Target("streams", SPEED, 1.1, model="smollm2-135m"),
    Target("streams", GAP, 0.92, at_most=True, model="smollm2-135m"),
    Target("streams", SPEED, 1.0, model="qwen2.5-0.5b", cases=("1 stream",)),
    Target("streams", SPEED, 1.02, model="qwen2.5-0.5b", cases=MANY),
    Target("streams", GAP, 0.99, at_most=True, model="qwen2.5-0.5b"),
    Target("streams", SPEED, 1.0, model="tiny-llm", cases=("8 streams",)),
    Target("streams", SPEED, 0.97, ours=WORKER, other=OURS),
)


def streams_load(model: Model, streams: int, seed: object, *, tokens: int = TOKENS) -> Load:
    """``streams`` at a time, each with a prompt of its own; as soon as one is through the next one follows."""
    count = max(4, 2 * streams)
    asks = [Ask(model.prompt(PROMPT, (seed, i)), tokens, seed=i + 1) for i in range(count)]
    return Load(asks, streams)


async def run(bench: Bench) -> None:
    for model in bench.chosen("qwen2.5-0.5b", "smollm2-135m", "tiny-llm"):
        usual = QUICK_STREAMS if bench.quick or model.name == "tiny-llm" else STREAMS
        for streams in bench.streams or usual:
            await _case(bench, model, streams)


async def _case(bench: Bench, model: Model, streams: int) -> None:
    case, tokens = streams_name(streams), TOKENS // 2 if bench.quick else TOKENS

    def keep(name: str, outcome: Outcome) -> None:
        numbers = {
            SPEED: outcome.tokens_per_s,
            GAP: outcome.median_gap_ms,
            "median first token, ms": outcome.median_first_ms,
            "client, cores": outcome.client_share,
        }
        bench.book.add("streams", model.name, case, name, **numbers)

    async with bench.open(model, CONTEXT, streams) as contenders:

        def load(round_: int) -> Load:
            return streams_load(model, streams, (case, round_), tokens=tokens)

        await take_turns(bench, contenders, load, keep, f"streams {model.name} {case}")
    _floor(bench, model, streams, tokens)
    _ceiling(bench, model, streams, tokens)


def _floor(bench: Bench, model: Model, streams: int, tokens: int) -> None:
    """The same over the low-level API alone: what the library costs, and nothing of ours."""
    command = [sys.executable, str(FLOOR), str(model.path), "--streams", str(streams), "--tokens", str(tokens)]
    command += ["--prompt", str(PROMPT), "--threads", str(bench.threads), "--json"]
    found = json.loads(_output(command))
    numbers = {SPEED: found["tokens_per_s"], GAP: found["median_step_ms"], "client, cores": found["python_share"]}
    bench.book.add("streams", model.name, streams_name(streams), "serve_floor.py", **numbers)


def _ceiling(bench: Bench, model: Model, streams: int, tokens: int) -> None:
    """llama.cpp's own measurement: no sampling, no text, everyone in step."""
    program = oracle_tools.cache_folder() / "bin" / "llama-batched-bench"
    if not bench.peers() or not program.exists():
        return
    threads = str(bench.threads)
    command = [str(program), "-m", str(model.path), "-c", str(CONTEXT * streams), "-b", str(BATCH), "-ub", str(UBATCH)]
    command += ["-fa", "on", "-kvu", "-t", threads, "-tb", threads, "--output-format", "jsonl"]
    output = _output([*command, "-npp", str(PROMPT), "-ntg", str(tokens), "-npl", str(streams)])
    line = re.search(r"^\{.*\}$", output, re.MULTILINE)
    if line is None:
        raise RuntimeError(f"llama-batched-bench printed no result:\n{output[-2000:]}")
    found = json.loads(line[0])
    seconds = found["t_pp"] + found["t_tg"]
    numbers = {SPEED: streams * tokens / seconds, GAP: 1e3 * found["t_tg"] / tokens}
    bench.book.add("streams", model.name, streams_name(streams), "llama-batched-bench", **numbers)


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout
