"""Embeddings: against llama.cpp's own on the same file, beside answers of the same model, and beside another model.

usage: embed.py [--model NAME] [--work FOLDER] [--threads N]

    speed    tokens/s and private memory of texts of 16 and of 512 tokens, ours in rounds with llama.cpp computing all
             logits (what its embeddings do), each in a process of its own
    beside   answers of four streams while texts are embedded, and the longest wait for a token
    models   a model that answers and one that embeds, each in a worker, together against one after the other
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from serve_models import MODELS, open_model

from edgellm_runtimes.engine import Engine, Isolation
from edgellm_runtimes.llama_cpp.library import library
from edgellm_runtimes.load import LoadRequest
from edgellm_runtimes.sampling import SamplingParams

CONTEXT, SEQUENCES, TOKENS, ROUNDS = 1024, 4, 2048, 3
GREEDY = SamplingParams(temperature=0, max_tokens=96, ignore_eos=True)


def texts(length: int, total: int = TOKENS) -> list[list[int]]:
    source = random.Random(length)
    return [[source.randrange(300, 2000) for _ in range(length)] for _ in range(total // length)]


def private_mb() -> float:
    """Memory of this process that no file backs."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon"))


async def open_engine(path: Path, threads: int, isolation: Isolation = "process") -> Engine:
    request = LoadRequest(
        model_path=path, context=CONTEXT, sequences=SEQUENCES, threads=threads, batch_threads=threads, ubatch=512
    )
    return await Engine.load(request, isolation=isolation)


async def ours(path: Path, threads: int, length: int) -> dict[str, float]:
    given = texts(length)
    async with await open_engine(path, threads) as engine:
        before = private_mb()
        await engine.embed(given[:1])
        started = time.monotonic()
        await engine.embed(given)
        return {"tokens_per_s": TOKENS / (time.monotonic() - started), "added_mb": private_mb() - before}


def plain(path: Path, threads: int, length: int) -> dict[str, float]:
    """llama.cpp with embeddings on: 512 tokens a call, as many texts in it as there is room for."""
    lib = library()
    model = lib.llama_model_load_from_file(bytes(path), lib.llama_model_default_params())
    parameters = lib.llama_context_default_params()
    parameters.n_ctx = CONTEXT * SEQUENCES
    parameters.n_batch = parameters.n_ubatch = 512
    parameters.n_seq_max = 512 // length
    parameters.n_threads = parameters.n_threads_batch = threads
    parameters.kv_unified = parameters.embeddings = True
    parameters.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED
    parameters.pooling_type = lib.LLAMA_POOLING_TYPE_MEAN
    context = lib.llama_init_from_model(model, parameters)
    batch = lib.llama_batch_init(512, 0, 1)

    def embed(chosen: list[list[int]]) -> None:
        lib.llama_memory_clear(lib.llama_get_memory(context), False)
        batch.n_tokens = len(chosen) * length
        for index in range(batch.n_tokens):
            sequence, position = divmod(index, length)
            batch.token[index], batch.pos[index] = chosen[sequence][position], position
            batch.n_seq_id[index], batch.seq_id[index][0], batch.logits[index] = 1, sequence, 1
        assert lib.llama_decode(context, batch) == 0
        for sequence in range(len(chosen)):
            pointer = lib.llama_get_embeddings_seq(context, sequence)
            np.linalg.norm(np.ctypeslib.as_array(pointer, (lib.llama_model_n_embd(model),)))

    given, step = texts(length), 512 // length
    before = private_mb()
    embed(given[:1])
    started = time.monotonic()
    for first in range(0, len(given), step):
        embed(given[first : first + step])
    return {"tokens_per_s": TOKENS / (time.monotonic() - started), "added_mb": private_mb() - before}


def speed(path: Path, threads: int) -> None:
    for length in (16, 512):
        found: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
        for _ in range(ROUNDS):
            for name, results in found.items():
                command = [sys.executable, __file__, "--child", name, str(path), str(threads), str(length)]
                results.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        rate = {name: float(np.median([each["tokens_per_s"] for each in results])) for name, results in found.items()}
        added = {name: max(each["added_mb"] for each in results) for name, results in found.items()}
        print(
            f"speed: texts of {length}: {rate['ours']:.0f} tokens/s, {added['ours']:.0f} MB more; "
            f"llama.cpp {rate['plain']:.0f} tokens/s, {added['plain']:.0f} MB more: "
            f"{rate['ours'] / rate['plain']:.2f} x",
            flush=True,
        )


async def answer(engine: Engine, seed: int) -> float:
    """Longest wait for a token after the first."""
    longest = last = 0.0
    async for _chunk in engine.generate(texts(32, 32 * 8)[seed], GREEDY):
        now = time.monotonic()
        longest, last = max(longest, now - last if last else 0.0), now
    return longest


async def answers(engine: Engine) -> tuple[float, float]:
    """Seconds of four streams, and the longest wait."""
    started = time.monotonic()
    waits = await asyncio.gather(*(answer(engine, seed) for seed in range(SEQUENCES)))
    return time.monotonic() - started, max(waits)


async def beside(path: Path, threads: int) -> None:
    async with await open_engine(path, threads) as engine:
        await answers(engine)
        alone, alone_wait = await answers(engine)
        started = time.monotonic()
        await engine.embed(texts(256))
        embedding = time.monotonic() - started
        started = time.monotonic()
        (_, wait), _ = await asyncio.gather(answers(engine), engine.embed(texts(256)))
        together = time.monotonic() - started
    print(
        f"beside: in turn {alone + embedding:.2f} s, together {together:.2f} s: "
        f"{(alone + embedding) / together:.2f} x; "
        f"longest wait for a token {alone_wait * 1000:.0f} ms alone, {wait * 1000:.0f} ms beside texts",
        flush=True,
    )


async def models(path: Path, threads: int) -> None:
    async with (
        await open_engine(path, threads, "worker") as first,
        await open_engine(path, threads, "worker") as second,
    ):
        await asyncio.gather(answers(first), second.embed(texts(256)[:1]))
        ratios = []
        for _ in range(ROUNDS):
            in_turn, _ = await answers(first)
            started = time.monotonic()
            await second.embed(texts(256))
            in_turn += time.monotonic() - started
            started = time.monotonic()
            await asyncio.gather(answers(first), second.embed(texts(256)))
            ratios.append(in_turn / (time.monotonic() - started))
    print(f"models: together {float(np.median(ratios)):.2f} x the speed of one after the other (>= 0.9)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="smollm2-135m")
    parser.add_argument("--work", type=Path, help="where the model is kept")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, path, threads, length = options.child
        arguments = (Path(path), int(threads), int(length))
        print(json.dumps(asyncio.run(ours(*arguments)) if name == "ours" else plain(*arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = open_model(options.model, options.work or Path(folder)).path
        print(f"{options.model}, {options.threads} threads", flush=True)
        speed(path, options.threads)
        asyncio.run(beside(path, options.threads))
        asyncio.run(models(path, options.threads))


if __name__ == "__main__":
    main()
