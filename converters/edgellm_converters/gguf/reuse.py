"""A GGUF as the source: taken as it is, or requantized from F32, F16 or BF16."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from edgellm.devices.model import TensorShape
from edgellm.errors import ModelFileError, UnsupportedError
from edgellm.files import os_errors
from edgellm.formats.ggml_types import row_bytes
from edgellm.formats.gguf import GGUFHeader, TensorEntry, read_header
from edgellm.progress import CancelToken, Progress
from edgellm_converters.gguf.encode import Layout, encode_entry, make_layout
from edgellm_converters.gguf.pipeline import Work
from edgellm_converters.gguf.writer import Sink, WrittenGGUF, write_layouts
from edgellm_converters.pread import read_at
from edgellm_converters.recipes import RECIPES, Recipe
from edgellm_converters.retype import requantized_header

__all__ = ["adopt", "check_requantizable", "recipe_of", "requantize", "requantized_size"]

_COPY_BYTES = 4 << 20
_REPLACED = ("general.file_type", "general.quantization_version")


def recipe_of(header: GGUFHeader) -> str:
    """The recipe's name by ``general.file_type``; empty when the file does not say or it is none of ours."""
    ftype = header.metadata.get("general.file_type")
    return next((recipe.name for recipe in RECIPES.values() if recipe.ftype == ftype), "")


def adopt(path: Path, sink: Sink, *, progress: Progress, cancel: CancelToken) -> WrittenGGUF:
    """Copy the GGUF at ``path`` as it is, after a look at its header. Raises ModelFileError, UnsupportedError."""
    header = read_header(path, skip_arrays=True)
    _refuse_parts(path, header)
    progress.phase("copy", header.file_bytes)
    buffer = bytearray(_COPY_BYTES)
    view = memoryview(buffer)
    copied = 0
    with os_errors(f"read {path}"), path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            cancel.check()
            sink.write(view[:count])
            progress.advance(count)
            copied += count
    if copied != header.file_bytes:
        raise ModelFileError(f"{path} changed while it was read", hint="run the command again")
    tensors = tuple(TensorShape(t.name, t.type, t.shape, t.size_bytes) for t in header.tensors)
    return WrittenGGUF(copied, recipe_of(header), tensors)


def check_requantizable(header: GGUFHeader, recipe: Recipe) -> None:
    """Raise UnsupportedError when a tensor would have to go from one quantization to another."""
    requantized_header(header, recipe)


def requantized_size(path: Path, recipe: Recipe) -> int:
    """The exact size in bytes of what ``requantize`` will write."""
    return _layout(path, read_header(path, skip_arrays=True), recipe).total_bytes


def requantize(
    path: Path,
    targets: Sequence[tuple[Recipe, Sink]],
    *,
    threads: int,
    progress: Progress,
    cancel: CancelToken,
) -> list[WrittenGGUF]:
    """Write the GGUF at ``path`` with its F32, F16 and BF16 tensors in the types of each recipe, each into its sink.

    The file is read once; everything else of its header is kept. Raises UnsupportedError, ModelFileError,
    CheckpointError, Interrupted.
    """
    header = read_header(path, skip_arrays=True)
    layouts = [_layout(path, header, recipe) for recipe, _ in targets]
    types = [{tensor.name: tensor.type for tensor in layout.tensors} for layout in layouts]
    sources = {tensor.name: tensor for tensor in header.tensors}
    with os_errors(f"read {path}"):
        descriptor = os.open(path, os.O_RDONLY)
    try:
        works = [
            _work(path, descriptor, sources[name], tuple(dict.fromkeys(by_name[name] for by_name in types)))
            for name in types[0]
        ]
        return write_layouts(works, layouts, targets, threads=threads, progress=progress, cancel=cancel)
    finally:
        os.close(descriptor)


def _refuse_parts(path: Path, header: GGUFHeader) -> None:
    count = header.metadata.get("split.count", 0)
    if isinstance(count, int) and count > 1:
        raise UnsupportedError(
            f"{path} is one of {count} parts of a model", hint="join them first: llama-gguf-split --merge FIRST OUT"
        )
    if not header.tensors:
        raise UnsupportedError(f"{path} holds no tensors", hint="give a model, not a vocabulary")


def _layout(path: Path, header: GGUFHeader, recipe: Recipe) -> Layout:
    _refuse_parts(path, header)
    target = requantized_header(header, recipe)
    keys = []
    with os_errors(f"read {path}"), path.open("rb") as file:
        for key, (start, end) in header.spans.items():
            if key in _REPLACED or key.startswith("split."):
                continue
            file.seek(start)
            keys.append(file.read(end - start))
    keys.append(encode_entry(("general.quantization_version", 2, "u32")))
    keys.append(encode_entry(("general.file_type", recipe.ftype, "u32")))
    return make_layout(keys, [(t.name, t.type, t.shape or (1,)) for t in target.tensors], header.alignment)


def _work(path: Path, descriptor: int, tensor: TensorEntry, targets: tuple[str, ...]) -> Work:
    row_length = tensor.shape[0] if tensor.shape else 1
    n_rows = tensor.size_bytes // row_bytes(tensor.type, row_length)
    read = partial(_read, path, descriptor, tensor.offset_bytes)
    return Work(tensor.name, tensor.type, row_length, n_rows, targets, read)


def _read(path: Path, descriptor: int, start: int, offset_bytes: int, buffer: memoryview) -> None:
    with os_errors(f"read {path}"):
        count = read_at(descriptor, start + offset_bytes, buffer)
    if count < len(buffer):
        raise ModelFileError(f"{path} became shorter while it was read", hint="run the command again")
