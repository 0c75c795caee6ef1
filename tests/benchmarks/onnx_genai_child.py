"""Times one model in onnxruntime-genai: prints one JSON line. `python -P onnx_genai_child.py FOLDER PROMPT TOKENS`.

The number of threads is in the folder's genai_config.json.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def anonymous_bytes() -> int:
    """Anonymous memory of this process that is resident."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def main(folder: str, n_prompt: int, n_tokens: int) -> None:
    started = time.perf_counter()
    import onnxruntime_genai as genai

    model = genai.Model(folder)
    load_s = time.perf_counter() - started
    loaded = anonymous_bytes()
    prompt = [(7919 * (number + 1) + 1) % 8192 for number in range(n_prompt)]
    prefill, decode = [], []
    for _ in range(3):
        params = genai.GeneratorParams(model)
        length = n_prompt + n_tokens + 2
        params.set_search_options(max_length=length, min_length=length, do_sample=False)
        generator = genai.Generator(model, params)
        started = time.perf_counter()
        generator.append_tokens(prompt)
        prefill.append(time.perf_counter() - started)
    for _ in range(n_tokens):
        started = time.perf_counter()
        generator.generate_next_token()
        decode.append(time.perf_counter() - started)
    result = {
        "load_s": load_s,
        "prefill_tokens_per_s": n_prompt / min(prefill[1:]),
        "decode_tokens_per_s": 1 / statistics.median(decode[2:]),
        "loaded_bytes": loaded,
        "anonymous_bytes": anonymous_bytes(),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
