"""ONNX models of a checkpoint in a folder, as ONNX Runtime wants them."""

from __future__ import annotations

from pathlib import Path

from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.onnx.data_file import write_data
from edgellm_converters.onnx.linear import ACCURACY_INT8
from edgellm_converters.onnx.model import GRAPH_NAME, open_model
from edgellm_converters.onnx.recipes import get_onnx_recipe
from edgellm_converters.onnx.weights import DATA_NAME

TINY_LLM = Path(__file__).resolve().parent / "models" / "tiny-llm"


def write_model(
    checkpoint_folder: Path, folder: Path, recipe: str = "INT4_32_M", *, context: int = 8192, accuracy: int = ACCURACY_INT8
) -> Path:
    """Convert into ``folder``; the path of the graph file."""
    folder.mkdir(parents=True, exist_ok=True)
    with open_checkpoint(checkpoint_folder) as checkpoint, (folder / DATA_NAME).open("wb") as sink:
        model = open_model(checkpoint, get_onnx_recipe(recipe), context, accuracy=accuracy)
        write_data(checkpoint, [(model.graph, sink)], threads=2, progress=SilentProgress(), cancel=CancelToken())
    path = folder / GRAPH_NAME
    path.write_bytes(model.encode(f"sha256:{'0' * 64}"))
    return path
