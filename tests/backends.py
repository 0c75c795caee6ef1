"""The same model for each backend, opened in the same words: what a test says of one holds for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from edgellm_runtimes.backend import Backend, BackendSettings
from onnx_models import write_onnx_folder

__all__ = [
    "TINY_CONTEXT",
    "fitting",
    "is_onnx_model",
    "model_bytes",
    "open_backend",
    "open_encoder",
    "write_gguf_file",
    "write_onnx_folder",
]

TINY_CONTEXT = 512  # positions that tiny-llm was trained for


def is_onnx_model(path: Path) -> bool:
    """Which backend a model file is for."""
    return path.suffix == ".onnx"


def model_bytes(path: Path) -> int:
    """What the weights of a model take on the disk, with their graph or header."""
    data = path.with_name(f"{path.name}.data")
    return path.stat().st_size + (data.stat().st_size if data.exists() else 0)


def fitting(path: Path, settings: BackendSettings) -> BackendSettings:
    """``settings``, but for what a graph decides for itself: the type of its cache, and how many positions it has."""
    if not is_onnx_model(path):
        return settings
    context = min(settings.context, TINY_CONTEXT) if settings.context <= 4096 else settings.context
    return msgspec.structs.replace(settings, context=context, shared_cells=False, kv_type_k="f32", kv_type_v="f32")


def open_backend(
    path: Path,
    settings: BackendSettings,
    *,
    extra_ends: Iterable[int] = (),
    adapters: Mapping[str, Path] | None = None,
) -> Backend:
    """The model at ``path``, loaded by the backend for it; adapters are for GGUF alone."""
    settings = fitting(path, settings)
    if is_onnx_model(path):
        from edgellm_runtimes.onnx.model import OnnxBackend

        assert not adapters
        return OnnxBackend(path, settings, extra_ends=extra_ends)
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    return LlamaBackend(path, settings, extra_ends=extra_ends, adapters=adapters)


def open_encoder(path: Path, settings: BackendSettings) -> Backend:
    """The encoder at ``path``, loaded as the engine loads it."""
    from edgellm_runtimes.load import LoadRequest, open_plain

    return open_plain(LoadRequest(model_path=path), settings)


def write_gguf_file(checkpoint_folder: Path, path: Path, recipe: str) -> Path:
    """The checkpoint as a GGUF at ``path``, with its vocabulary and chat template."""
    from edgellm.progress import CancelToken, SilentProgress
    from edgellm_converters.checkpoint import open_checkpoint
    from edgellm_converters.gguf import GeneralMetadata, write_gguf
    from edgellm_converters.recipes import RECIPES
    from edgellm_converters.tokenizer import load_vocabulary

    with open_checkpoint(checkpoint_folder) as checkpoint, path.open("wb") as sink:
        write_gguf(
            checkpoint,
            load_vocabulary(checkpoint_folder, checkpoint.config),
            RECIPES[recipe],
            sink,
            threads=1,
            progress=SilentProgress(),
            cancel=CancelToken(),
            general=GeneralMetadata(),
        )
    return path
