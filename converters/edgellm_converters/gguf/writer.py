"""Checkpoint -> GGUF: header first, then every tensor once, read, converted and written in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgellm.devices.model import TensorShape
from edgellm.errors import CheckpointError
from edgellm.progress import CancelToken, Progress
from edgellm_converters.arch import read_model
from edgellm_converters.arch.metadata import MetadataEntry
from edgellm_converters.arch.plan import TensorPlan
from edgellm_converters.checkpoint import Checkpoint
from edgellm_converters.gguf.architecture import gguf_metadata
from edgellm_converters.gguf.encode import Layout, encode_entry, make_layout, padding
from edgellm_converters.gguf.general import GeneralMetadata, general_metadata
from edgellm_converters.gguf.to_type import to_type
from edgellm_converters.recipes import Recipe
from edgellm_converters.shape import plan_types
from edgellm_converters.streaming import Work, run

__all__ = [
    "Sink",
    "TensorWriter",
    "VocabularyEntries",
    "WrittenGGUF",
    "gguf_size",
    "write_gguf",
    "write_ggufs",
    "write_layouts",
]

_QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION


class Sink(Protocol):
    """Where bytes go, in order."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take ``data``; it may be reused by the caller afterwards."""


class VocabularyEntries(Protocol):
    """What the writer needs of a vocabulary."""

    @property
    def metadata(self) -> Sequence[tuple[str, str | int | bool | list[str] | list[int] | list[float], str]]:
        """``tokenizer.*`` keys: (key, value, GGUF type)."""

    @property
    def n_tokens(self) -> int:
        """Number of token ids, padding included."""


@dataclass(frozen=True)
class WrittenGGUF:
    """What was written."""

    size_bytes: int
    recipe: str
    tensors: tuple[TensorShape, ...]

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(tensor.n_elements for tensor in self.tensors)


def gguf_size(checkpoint: Checkpoint, vocabulary: VocabularyEntries, recipe: Recipe, general: GeneralMetadata) -> int:
    """The exact size in bytes of what ``write_gguf`` will write, from headers alone."""
    return _layout(checkpoint, vocabulary, recipe, general)[1].total_bytes


def write_gguf(
    checkpoint: Checkpoint,
    vocabulary: VocabularyEntries,
    recipe: Recipe,
    sink: Sink,
    *,
    threads: int,
    progress: Progress,
    cancel: CancelToken,
    general: GeneralMetadata,
) -> WrittenGGUF:
    """Convert ``checkpoint`` to a GGUF of ``recipe`` and write it, front to back, into ``sink``.

    Progress advances by bytes of the checkpoint. Raises CheckpointError, UnsupportedError, Interrupted, and what the
    sink raises.
    """
    targets = [(recipe, sink)]
    return write_ggufs(
        checkpoint, vocabulary, targets, threads=threads, progress=progress, cancel=cancel, general=general
    )[0]


def write_ggufs(
    checkpoint: Checkpoint,
    vocabulary: VocabularyEntries,
    targets: Sequence[tuple[Recipe, Sink]],
    *,
    threads: int,
    progress: Progress,
    cancel: CancelToken,
    general: GeneralMetadata,
) -> list[WrittenGGUF]:
    """Several recipes from one reading of the checkpoint, each into its own sink."""
    plans: list[TensorPlan] = []
    layouts: list[Layout] = []
    for recipe, _ in targets:
        plans, layout = _layout(checkpoint, vocabulary, recipe, general)
        layouts.append(layout)
    types = [{tensor.name: tensor.type for tensor in layout.tensors} for layout in layouts]
    works = [_work(checkpoint, plan, tuple(dict.fromkeys(by_name[plan.name] for by_name in types))) for plan in plans]
    return write_layouts(works, layouts, targets, threads=threads, progress=progress, cancel=cancel)


def write_layouts(
    works: Sequence[Work[str]],
    layouts: Sequence[Layout],
    targets: Sequence[tuple[Recipe, Sink]],
    *,
    threads: int,
    progress: Progress,
    cancel: CancelToken,
) -> list[WrittenGGUF]:
    """Push ``works`` through the threads once and write each of ``layouts`` into the sink of its target."""
    progress.phase("quantize", sum(work.source_bytes for work in works))
    writers = [TensorWriter(layout, sink) for layout, (_, sink) in zip(layouts, targets, strict=True)]

    def write(work: Work[str], data: dict[str, NDArray[np.uint8]], is_last: bool) -> None:
        for writer in writers:
            writer.write(work.name, data, is_last)

    run(works, to_type, write, threads=threads, progress=progress, cancel=cancel)
    return [
        WrittenGGUF(writer.finish(), recipe.name, layout.tensors)
        for writer, layout, (recipe, _) in zip(writers, layouts, targets, strict=True)
    ]


def _layout(
    checkpoint: Checkpoint, vocabulary: VocabularyEntries, recipe: Recipe, general: GeneralMetadata
) -> tuple[list[TensorPlan], Layout]:
    hyper, plans = read_model(checkpoint)
    if vocabulary.n_tokens != hyper.n_vocab:
        raise CheckpointError(
            f"the tokenizer has {vocabulary.n_tokens} tokens, the model {hyper.n_vocab}",
            hint="the tokenizer files and the weights must belong to the same model",
        )
    types = plan_types(checkpoint, recipe)[1]
    n_parameters = sum(plan.n_elements for plan in plans)
    entries: list[MetadataEntry] = [
        ("general.architecture", hyper.architecture, "str"),
        *general_metadata(checkpoint.path, general, checkpoint.generation_config, n_parameters),
        *gguf_metadata(checkpoint, hyper),
        ("general.file_type", recipe.ftype, "u32"),
        ("general.quantization_version", _QUANTIZATION_VERSION, "u32"),
        *vocabulary.metadata,
    ]
    keys = [encode_entry(entry) for entry in entries]
    return plans, make_layout(keys, [(plan.name, types[plan.name], plan.shape) for plan in plans])


def _work(checkpoint: Checkpoint, plan: TensorPlan, targets: tuple[str, ...]) -> Work[str]:
    n_rows = plan.n_elements // plan.shape[0]
    if not plan.source:
        data = np.asarray(plan.values, np.float32).tobytes()
        return Work(plan.name, "F32", plan.shape[0], n_rows, targets, partial(_read_bytes, data))
    tensor = checkpoint.tensors[plan.source]
    row_length = plan.shape[0]
    if plan.heads and len(plan.shape) == 1:  # the rows of a bias are its elements
        row_length, n_rows = 1, plan.shape[0]
    read: Callable[[int, memoryview], None] = partial(checkpoint.read_into, tensor)
    return Work(plan.name, tensor.dtype, row_length, n_rows, targets, read, plan.heads)


def _read_bytes(data: bytes, offset_bytes: int, buffer: memoryview) -> None:
    buffer[:] = data[offset_bytes : offset_bytes + len(buffer)]


class TensorWriter:
    """Writes one file: its header at once, then tensor data as it comes, padded."""

    def __init__(self, layout: Layout, sink: Sink) -> None:
        self._layout = layout
        self._sink = sink
        self._types = {tensor.name: tensor.type for tensor in layout.tensors}
        self._sizes = {tensor.name: tensor.size_bytes for tensor in layout.tensors}
        self._written = len(layout.header)
        sink.write(layout.header)

    def write(self, name: str, data: dict[str, NDArray[np.uint8]], is_last: bool) -> None:
        """The next bytes of the tensor ``name``."""
        chunk = data[self._types[name]]
        self._sink.write(chunk.data)
        self._written += chunk.size
        if is_last:
            rest = padding(self._sizes[name], self._layout.alignment)
            self._sink.write(b"\0" * rest)
            self._written += rest

    def finish(self) -> int:
        """The number of bytes written, which is the number that was promised."""
        if self._written != self._layout.total_bytes:
            raise AssertionError(f"wrote {self._written} bytes instead of {self._layout.total_bytes}")
        return self._written
