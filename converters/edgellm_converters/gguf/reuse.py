"""A GGUF as the source of another one: requantized from F32, F16 or BF16."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from edgellm.errors import ModelFileError
from edgellm.files import os_errors
from edgellm.formats.ggml_types import row_bytes
from edgellm.formats.gguf import GGUFHeader, TensorEntry
from edgellm.formats.gguf_split import GGUFModel
from edgellm.progress import CancelToken, Progress
from edgellm_converters.gguf.adopt import read_keys, refuse_empty
from edgellm_converters.gguf.encode import Layout, encode_entry, make_layout
from edgellm_converters.gguf.writer import Sink, WrittenGGUF, write_layouts
from edgellm_converters.pread import read_at
from edgellm_converters.recipes import Recipe
from edgellm_converters.retype import requantized_header
from edgellm_converters.streaming import Work

__all__ = ["check_requantizable", "requantize", "requantized_size"]

_REPLACED = ("general.file_type", "general.quantization_version")


def check_requantizable(header: GGUFHeader, recipe: Recipe) -> None:
    """Raise UnsupportedError when a tensor would have to go from one quantization to another."""
    requantized_header(header, recipe)


def requantized_size(model: GGUFModel, recipe: Recipe) -> int:
    """The exact size in bytes of what ``requantize`` will write."""
    return _layout(model, recipe).total_bytes


def requantize(
    model: GGUFModel,
    targets: Sequence[tuple[Recipe, Sink]],
    *,
    threads: int,
    progress: Progress,
    cancel: CancelToken,
) -> list[WrittenGGUF]:
    """Write ``model`` with its F32, F16 and BF16 tensors in the types of each recipe, each into its sink.

    The files are read once; everything else of the header is kept. Raises UnsupportedError, ModelFileError,
    CheckpointError, Interrupted.
    """
    layouts = [_layout(model, recipe) for recipe, _ in targets]
    types = [{tensor.name: tensor.type for tensor in layout.tensors} for layout in layouts]
    sources = {tensor.name: tensor for tensor in model.header.tensors}
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(_OpenFile(path)) for path in model.paths]
        works = [
            _work(files[sources[name].part], sources[name], tuple(dict.fromkeys(by_name[name] for by_name in types)))
            for name in types[0]
        ]
        return write_layouts(works, layouts, targets, threads=threads, progress=progress, cancel=cancel)


def _layout(model: GGUFModel, recipe: Recipe) -> Layout:
    refuse_empty(model)
    target = requantized_header(model.header, recipe)
    kept = [key for key in model.header.spans if key not in _REPLACED and not key.startswith("split.")]
    keys = read_keys(model, kept)
    keys.append(encode_entry(("general.quantization_version", 2, "u32")))
    keys.append(encode_entry(("general.file_type", recipe.ftype, "u32")))
    return make_layout(keys, [(t.name, t.type, t.shape or (1,)) for t in target.tensors], model.header.alignment)


def _work(file: _OpenFile, tensor: TensorEntry, targets: tuple[str, ...]) -> Work[str]:
    row_length = tensor.shape[0] if tensor.shape else 1
    n_rows = tensor.size_bytes // row_bytes(tensor.type, row_length)
    return Work(tensor.name, tensor.type, row_length, n_rows, targets, partial(file.read, tensor.offset_bytes))


class _OpenFile:
    """A file that many threads read from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with os_errors(f"read {path}"):
            self._descriptor = os.open(path, os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def read(self, start: int, offset_bytes: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``start + offset_bytes`` on."""
        with os_errors(f"read {self._path}"):
            count = read_at(self._descriptor, start + offset_bytes, buffer)
        if count < len(buffer):
            raise ModelFileError(f"{self._path} became shorter while it was read", hint="run the command again")
