"""What each recipe costs in quality, GGUF and ONNX beside each other: the test model on a text, against float32.

usage: python tests/benchmarks/onnx_recipes.py TEXT [--tokens 12000] [--gguf Q8_0,...] [--onnx INT8_128,...] [--builder]
       [--json]

Perplexity of the second half of windows of 512 tokens, and the mean Kullback-Leibler divergence of the predictions from
those of the float32 model, both through our own backends. `--builder` adds the graph of onnxruntime-genai's builder
(int4, blocks of 32, accuracy level 4; `pip install onnx-ir`, beside the extra `oracle`), in ONNX Runtime itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.pop(0)  # this folder, where a benchmark is called like the package onnx
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "oracle"))

from convert_cases import pack

from backends import open_backend
from edgellm_converters.onnx.recipes import ONNX_RECIPES
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from onnx_models import TINY_LLM, log_softmax, write_onnx_folder

WINDOW = 512
GGUF = "F32,Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0,Q3_K_M,Q2_K"
BEGIN = 0  # the test model's bos


def predictions(model: Path, windows: list[list[int]]) -> Iterator[NDArray[np.float64]]:
    """Log-probabilities [WINDOW / 2, vocabulary] after each token of the second half of each window."""
    backend = open_backend(model, BackendSettings(context=WINDOW, outputs=WINDOW // 2, threads=2, batch_threads=2))
    try:
        for window in windows:
            yield log_softmax(np.asarray(backend.decode([TokenSlice(0, window, WINDOW // 2)])))
            backend.drop_sequence(0)
    finally:
        backend.close()


def builder_graph(folder: Path) -> Path:
    """The graph of onnxruntime-genai's builder in ``folder``."""
    command = [sys.executable, "-P", "-m", "onnxruntime_genai.models.builder", "-i", str(TINY_LLM), "-o", str(folder)]
    command += ["-p", "int4", "-e", "cpu", "-c", str(folder / "cache")]
    (folder / "cache").mkdir()
    subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True, capture_output=True)
    return folder / "model.onnx"


def builder_predictions(graph: Path, windows: list[list[int]]) -> Iterator[NDArray[np.float64]]:
    """The same of a graph that gives the logits of all positions."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    config = json.loads((graph.parent / "genai_config.json").read_text())["model"]["decoder"]
    past = np.zeros((1, config["num_key_value_heads"], 0, config["head_size"]), np.float32)
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    feeds = {value.name: past for value in session.get_inputs() if value.name.startswith("past_key_values.")}
    for window in windows:
        ids = np.asarray([window], np.int64)
        [logits] = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids), **feeds})
        yield log_softmax(logits[0, -(WINDOW // 2) :])


def measured(
    found: Iterable[NDArray[np.float64]], windows: list[list[int]], base: list[NDArray[np.float32]] | None
) -> tuple[float, float, list[NDArray[np.float32]]]:
    """Perplexity, mean divergence from ``base`` (the model's own without it), and every eighth prediction."""
    loss, count, divergence, kept = 0.0, 0, [], []
    for number, (window, predicted) in enumerate(zip(windows, found, strict=True)):
        targets = window[WINDOW // 2 + 1 :]
        loss -= float(predicted[np.arange(len(targets)), targets].sum())
        count += len(targets)
        some = predicted[::8].astype(np.float32)
        kept.append(some)
        wanted = base[number] if base is not None else some
        divergence.append(float((np.exp(wanted) * (wanted - some)).sum(-1).mean()))
    return float(np.exp(loss / count)), float(np.mean(divergence)), kept


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality of every recipe on the test model.")
    parser.add_argument("text", type=Path)
    parser.add_argument("--tokens", type=int, default=12000)
    parser.add_argument("--gguf", default=GGUF)
    parser.add_argument("--onnx", default=",".join(ONNX_RECIPES))
    parser.add_argument("--builder", action="store_true", help="onnxruntime-genai's builder too")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    from tokenizers import Tokenizer

    text = arguments.text.read_text(encoding="utf-8")
    ids = Tokenizer.from_file(str(TINY_LLM / "tokenizer.json")).encode(text).ids[: arguments.tokens]
    windows = [[BEGIN, *ids[first + 1 : first + WINDOW]] for first in range(0, len(ids) - WINDOW + 1, WINDOW)]
    rows, base = {}, None
    with tempfile.TemporaryDirectory() as temporary:
        jobs = [("gguf", recipe) for recipe in arguments.gguf.split(",")]
        jobs += [("onnx", recipe) for recipe in arguments.onnx.split(",")]
        jobs += [("builder", "genai-builder")] if arguments.builder else []
        for kind, recipe in jobs:
            folder = Path(temporary) / recipe
            folder.mkdir()
            if kind == "builder":
                found = builder_predictions(builder_graph(folder), windows)
            elif kind == "gguf":
                pack(TINY_LLM, recipe, folder / "model.gguf")
                found = predictions(folder / "model.gguf", windows)
            else:
                found = predictions(write_onnx_folder(TINY_LLM, folder, recipe), windows)
            perplexity, divergence, kept = measured(found, windows, base)
            base = base or kept
            rows[recipe] = {"perplexity": perplexity, "divergence": divergence}
            print(f"{recipe:16} {perplexity:8.3f} {divergence:.5f}", file=sys.stderr, flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
