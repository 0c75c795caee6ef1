"""ONNX models of a checkpoint in a folder, as ONNX Runtime wants them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.onnx.data_file import write_data
from edgellm_converters.onnx.linear import ACCURACY_INT8
from edgellm_converters.onnx.model import GRAPH_NAME, open_model
from edgellm_converters.onnx.recipes import get_onnx_recipe
from edgellm_converters.onnx.weights import DATA_NAME

TINY_LLM = Path(__file__).resolve().parent / "models" / "tiny-llm"


def write_model(
    checkpoint_folder: Path,
    folder: Path,
    recipe: str = "INT4_32_M",
    *,
    context: int = 8192,
    accuracy: int = ACCURACY_INT8,
) -> Path:
    """Convert into ``folder``; the path of the graph file."""
    folder.mkdir(parents=True, exist_ok=True)
    with open_checkpoint(checkpoint_folder) as checkpoint, (folder / DATA_NAME).open("wb") as sink:
        model = open_model(checkpoint, get_onnx_recipe(recipe), context, accuracy=accuracy)
        write_data(checkpoint, [(model.graph, sink)], threads=2, progress=SilentProgress(), cancel=CancelToken())
    path = folder / GRAPH_NAME
    path.write_bytes(model.encode(f"sha256:{'0' * 64}"))
    return path


def write_onnx_folder(
    checkpoint_folder: Path, folder: Path, recipe: str = "FP32", kv_ranges: Sequence[Sequence[float]] | None = None
) -> Path:
    """Every file of an ONNX bundle in ``folder``, as pack writes them; the path of the graph."""
    from edgellm.bundle.digest import sha256_bytes
    from edgellm.sources.local import open_source
    from edgellm_converters.pack.onnx_input import OnnxInput

    folder.mkdir(parents=True, exist_ok=True)
    model = OnnxInput(open_source(str(checkpoint_folder)), None, "")
    data = folder / model.weights_path
    try:
        with data.open("wb") as sink:
            model.write({recipe: sink}, threads=2, progress=SilentProgress(), cancel=CancelToken())
        context = model.shape(recipe).context_length
        small = model.small_files(recipe, sha256_bytes(data.read_bytes()), context, kv_ranges)
    finally:
        model.close()
    for name, content in (small.graph | small.configs).items():
        (folder / name).write_bytes(content)
    return folder / GRAPH_NAME


class GraphRun:
    """A model in ONNX Runtime itself, one sequence, its cache handed from call to call."""

    def __init__(self, path: Path) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._outputs = [value.name for value in self.session.get_outputs()]
        self.clear()

    def clear(self) -> None:
        """Forget the sequence."""
        self._tokens = 0
        self._past = {
            value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
            for value in self.session.get_inputs()
            if value.name.startswith("past_key_values.")
        }

    def logits(self, ids: Sequence[int], wanted: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Append ``ids``; the logits [positions, vocabulary] of all of them, or of the ``wanted``."""
        return self.run(ids, range(len(ids)) if wanted is None else wanted)["logits"][:, 0]

    def run(self, ids: Sequence[int], wanted: Sequence[int] | None) -> dict[str, NDArray[np.float32]]:
        """Append ``ids``; every output. ``wanted`` None leaves ``logits_indices`` out."""
        self._tokens += len(ids)
        feeds = {
            "input_ids": np.asarray([ids], np.int64),
            "attention_mask": np.ones((1, self._tokens), np.int64),
            **self._past,
        }
        if wanted is not None:
            feeds["logits_indices"] = np.asarray(wanted, np.int64)
        found = dict(zip(self._outputs, self.session.run(None, feeds), strict=True))
        self._past = {
            name.replace("present", "past_key_values"): value
            for name, value in found.items()
            if name.startswith("present")
        }
        return found


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-probabilities along the last axis."""
    values = logits.astype(np.float64)
    values -= values.max(axis=-1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=-1, keepdims=True))
