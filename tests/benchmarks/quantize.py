"""Quantization kernels against ggml's own function: weights per second of one thread, and whether the bytes are equal.

usage: python tests/benchmarks/quantize.py [--super-blocks 16384] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import machine
from numpy.typing import NDArray

from edgellm_converters import _quantize
from edgellm_converters.gguf import ggml
from edgellm_converters.k_quants import BLOCK_BYTES, SUPER_BLOCK


def best_cpu_s(work: Callable[[], object], repeats: int = 3) -> float:
    """The least processor time of this thread among `repeats` runs."""
    times = []
    for _ in range(repeats):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return min(times)


def compare(type_name: str, values: NDArray[np.float32]) -> dict[str, Any]:
    """Rates in millions of weights per second; `equal` is about every byte."""
    count = values.size // SUPER_BLOCK
    expected, written = (np.zeros(count * BLOCK_BYTES[type_name], np.uint8) for _ in range(2))
    rates: dict[str, Any] = {
        "ggml": values.size / best_cpu_s(lambda: ggml.quantize(type_name, values, expected), 1) / 1e6
    }
    for kernel in _quantize.kernel_names():
        left_over = np.empty(count, np.uint8)

        def work(kernel: str = kernel, left_over: NDArray[np.uint8] = left_over) -> None:
            _quantize.quantize(kernel, type_name, values, written, left_over)

        rates[kernel] = values.size / best_cpu_s(work) / 1e6
        rates[f"{kernel}_equal"] = bool(np.array_equal(written, expected)) and not left_over.any()
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description="Quantization kernels against ggml's own function.")
    parser.add_argument("--super-blocks", type=int, default=16384)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    values = np.random.default_rng(0).standard_normal(arguments.super_blocks * SUPER_BLOCK, np.float32)
    values *= np.float32(0.02)
    results = {type_name: compare(type_name, values) for type_name in BLOCK_BYTES}
    if arguments.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=2))
        return
    print("\n".join(f"{key}: {value}" for key, value in machine().items()))
    names = ["ggml", *_quantize.kernel_names()]
    print("| M weights/s, one thread | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))
    for type_name, rates in results.items():
        cells = [f"{rates[name]:.0f}" for name in names]
        same = all(rates[f"{name}_equal"] for name in names[1:])
        print(f"| {type_name}{'' if same else ' (bytes differ)'} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
