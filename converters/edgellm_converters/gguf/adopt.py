"""A GGUF taken as it is: copied, or merged when it comes in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from edgellm.devices.model import TensorShape
from edgellm.errors import ModelFileError, UnsupportedError
from edgellm.files import os_errors
from edgellm.formats.gguf import GGUFHeader
from edgellm.formats.gguf_split import GGUFModel
from edgellm.progress import CancelToken, Progress
from edgellm_converters.gguf.encode import Layout, encode_entry, make_layout, padding
from edgellm_converters.gguf.writer import Sink, WrittenGGUF
from edgellm_converters.recipes import RECIPES

__all__ = ["adopt", "adopted_size", "read_keys", "recipe_of", "refuse_empty"]

_COPY_BYTES = 4 << 20


def recipe_of(header: GGUFHeader) -> str:
    """The recipe's name by ``general.file_type``; empty when the file does not say or it is none of ours."""
    ftype = header.metadata.get("general.file_type")
    return next((recipe.name for recipe in RECIPES.values() if recipe.ftype == ftype), "")


def adopted_size(model: GGUFModel) -> int:
    """The exact size in bytes of what ``adopt`` will write."""
    return _merged_layout(model).total_bytes if model.is_split else model.header.file_bytes


def adopt(model: GGUFModel, sink: Sink, *, progress: Progress, cancel: CancelToken) -> WrittenGGUF:
    """Write ``model`` as it is: one file byte for byte, parts as the one file that they were split from.

    Merged parts are what ``llama-gguf-split --merge`` writes, except that texts are not cut at a NUL and an alignment
    other than 32 is kept. Memory stays at one buffer. Raises ModelFileError, UnsupportedError, Interrupted.
    """
    refuse_empty(model)
    layout = _merged_layout(model) if model.is_split else None
    progress.phase("copy", layout.total_bytes if layout else model.header.file_bytes)
    chunks = _merged(model, layout) if layout else _whole(model.paths[0], model.header.file_bytes)
    size_bytes = 0
    for chunk in chunks:
        cancel.check()
        sink.write(chunk)
        progress.advance(len(chunk))
        size_bytes += len(chunk)
    tensors = tuple(TensorShape(t.name, t.type, t.shape, t.size_bytes) for t in model.header.tensors)
    return WrittenGGUF(size_bytes, recipe_of(model.header), tensors)


def refuse_empty(model: GGUFModel) -> None:
    """Raise UnsupportedError for a model without tensors."""
    if not model.header.tensors:
        raise UnsupportedError(f"{model.paths[0]} holds no tensors", hint="give a model, not a vocabulary")


def read_keys(model: GGUFModel, names: Iterable[str]) -> list[bytes]:
    """The bytes of these keys as they lie in the (first) file."""
    path, spans = model.paths[0], model.headers[0].spans
    keys = []
    with os_errors(f"read {path}"), path.open("rb") as file:
        for name in names:
            start, end = spans[name]
            file.seek(start)
            keys.append(file.read(end - start))
    return keys


def _merged_layout(model: GGUFModel) -> Layout:
    """As llama-gguf-split: all keys of the first part, ``split.count`` 0 as the last, shapes without trailing ones."""
    keys = read_keys(model, [name for name in model.headers[0].spans if name != "split.count"])
    keys.append(encode_entry(("split.count", 0, "u16")))
    tensors = [(t.name, t.type, _shortest(t.shape)) for t in model.header.tensors]
    return make_layout(keys, tensors, model.header.alignment)


def _shortest(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape or (1,)


def _merged(model: GGUFModel, layout: Layout) -> Iterator[bytes | memoryview]:
    """The bytes of the merged file."""
    yield layout.header
    buffer = memoryview(bytearray(_COPY_BYTES))
    for number, (path, header) in enumerate(zip(model.paths, model.headers, strict=True)):
        with os_errors(f"read part {number + 1}, {path},"), path.open("rb", buffering=0) as file:
            for tensor in header.tensors:
                file.seek(tensor.offset_bytes)
                left = tensor.size_bytes
                while left:
                    count = file.readinto(buffer[: min(left, len(buffer))])
                    if not count:
                        raise _changed(path)
                    yield buffer[:count]
                    left -= count
                yield b"\0" * padding(tensor.size_bytes, layout.alignment)


def _whole(path: Path, size_bytes: int) -> Iterator[memoryview]:
    """The bytes of one file."""
    buffer = memoryview(bytearray(_COPY_BYTES))
    copied = 0
    with os_errors(f"read {path}"), path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]
            copied += count
    if copied != size_bytes:
        raise _changed(path)


def _changed(path: Path) -> ModelFileError:
    return ModelFileError(f"{path} changed while it was read", hint="run the command again")
