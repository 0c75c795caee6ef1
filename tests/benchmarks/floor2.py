"""The low-level API alone with N streams: how fast this library is when nothing of ours stands around it.

usage: python tests/benchmarks/serve_floor.py MODEL.gguf [--streams 8] [--prompt 64] [--tokens 64] [--threads N]
       [--repeats 3] [--json]

All prompts go in, then every step decodes one token of each stream and takes the likeliest. Unified KV cache, one
sequence more than streams, physical batches of 512. No text, no sampling parameters, no requests that come and go.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import statistics
import time

import llama_cpp.llama_cpp as lib
import numpy as np
import numpy.typing as npt

UBATCH = 512
FIRST_ID, LAST_ID = 500, 8000  # plain words in the models of this benchmark
QUIET = lib.llama_log_callback(lambda level, text, data: None)


class Loop:
    """One model, one context, one batch that is filled through numpy."""

    def __init__(self, path: str, streams: int, prompt: int, tokens: int, threads: int) -> None:
        lib.llama_log_set(QUIET, None)
        lib.llama_backend_init()
        self.streams, self.prompt, self.tokens = streams, prompt, tokens
        self.model = lib.llama_model_load_from_file(os.fsencode(path), lib.llama_model_default_params())
        params = lib.llama_context_default_params()
        params.n_ctx = streams * (prompt + tokens + 32)
        params.n_batch = max(UBATCH, streams * prompt)
        params.n_ubatch = UBATCH
        params.n_seq_max = params.n_outputs_max = streams
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        params.kv_unified = os.environ["UNI"] == "1"
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED
        self.context = lib.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit(f"error: {path} cannot be loaded")
        self.n_vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))
        self.batch = lib.llama_batch_init(params.n_batch, 0, 1)
        self.decode_s = 0.0

    def decode(self, tokens: npt.NDArray[np.int32], positions: npt.NDArray[np.int32], outputs: slice) -> list[int]:
        """Row i of ``tokens`` and ``positions`` belongs to sequence i. The likeliest token of each output row."""
        batch, count = self.batch, tokens.size
        batch.n_tokens = count
        np.ctypeslib.as_array(batch.token, (count,))[:] = tokens.ravel()
        np.ctypeslib.as_array(batch.pos, (count,))[:] = positions.ravel()
        logits = np.zeros(tokens.shape, np.int8)
        logits[:, outputs] = 1
        np.ctypeslib.as_array(batch.logits, (count,))[:] = logits.ravel()
        for index in range(count):
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = index // tokens.shape[1]
        started = time.perf_counter()
        status = lib.llama_decode(self.context, batch)
        pointer = lib.llama_get_logits(self.context)
        self.decode_s += time.perf_counter() - started
        if status != 0:
            raise SystemExit(f"error: llama_decode gave {status}")
        rows = np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self.streams, self.n_vocab))
        return [int(row.argmax()) for row in rows]

    def run(self, seed: int) -> tuple[float, list[float]]:
        """Seconds of everything, and of each step after the prompts."""
        draw = random.Random(seed)
        prompts = [[draw.randrange(FIRST_ID, LAST_ID) for _ in range(self.prompt)] for _ in range(self.streams)]
        lib.llama_memory_clear(lib.llama_get_memory(self.context), False)
        positions = np.tile(np.arange(self.prompt, dtype=np.int32), (self.streams, 1))
        started = last = time.perf_counter()
        chosen = self.decode(np.array(prompts, np.int32), positions, slice(-1, None))
        steps = []
        last = time.perf_counter()
        for step in range(self.tokens - 1):
            now = np.full((self.streams, 1), self.prompt + step, np.int32)
            chosen = self.decode(np.array(chosen, np.int32)[:, None], now, slice(None))
            steps.append(time.perf_counter() - last)
            last = time.perf_counter()
        return last - started, steps


def main() -> None:
    parser = argparse.ArgumentParser(description="N streams over the low-level API alone.")
    parser.add_argument("model")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    loop = Loop(arguments.model, arguments.streams, arguments.prompt, arguments.tokens, arguments.threads)
    loop.run(0)  # pages of the file, buffers, threads
    loop.decode_s = 0.0
    runs = [loop.run(repeat + 1) for repeat in range(arguments.repeats)]
    seconds = statistics.median(run[0] for run in runs)
    found = {
        "tokens_per_s": arguments.streams * arguments.tokens / seconds,
        "median_step_ms": 1e3 * statistics.median(step for run in runs for step in run[1]),
        "python_share": 1 - loop.decode_s / sum(run[0] for run in runs),
    }
    if arguments.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name}: {value:.4g}" for name, value in found.items()))


if __name__ == "__main__":
    main()
