"""The weights of a graph on their way into its data file: read once, quantized in threads, written in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgellm.errors import CheckpointError
from edgellm_converters.onnx.blocks import quantize
from edgellm_converters.onnx.encoding import Encoding, Form, parts_of
from edgellm_converters.streaming import Work, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgellm.progress import CancelToken, Progress
    from edgellm_converters.checkpoint import Checkpoint
    from edgellm_converters.onnx.graph import Graph
    from edgellm_converters.onnx.weights import Placed, Weight

__all__ = ["Sink", "write_data"]

_LARGEST = 1e15  # of a weight that is quantized: sums of squares decide on scales


class Sink(Protocol):
    """Where bytes go, in order."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take ``data``; it may be reused by the caller afterwards."""


def write_data(
    checkpoint: Checkpoint,
    targets: Sequence[tuple[Graph, Sink]],
    *,
    threads: int,
    progress: Progress,
    cancel: CancelToken,
) -> None:
    """Write the data file of each graph from one reading of ``checkpoint``.

    The graphs are of one model: they ask for the same weights in the same order, each in its own encoding. Progress
    advances by bytes of the checkpoint. Raises CheckpointError, Interrupted, and what a sink raises.
    """
    works = list(_works(checkpoint, [graph for graph, _ in targets]))
    progress.phase("quantize", sum(work.source_bytes for work in works))
    writers = [_DataWriter(graph, sink) for graph, sink in targets]

    def write(work: Work[Encoding], data: dict[Encoding, NDArray[np.uint8]], is_last: bool) -> None:
        for writer in writers:
            writer.write(data, is_last)

    run(works, _convert, write, threads=threads, progress=progress, cancel=cancel)
    for writer in writers:
        writer.finish()


def _works(checkpoint: Checkpoint, graphs: Sequence[Graph]) -> Iterator[Work[Encoding]]:
    for weights in zip(*(graph.weights for graph in graphs), strict=True):
        first: Weight = weights[0]
        encodings = tuple(dict.fromkeys(weight.encoding for weight in weights))
        if first.values is not None:
            data = first.values.tobytes()
            yield Work(
                first.name, "F32", first.row_length, first.n_rows, encodings, partial(_read, data), whole_rows=True
            )
        for source in first.sources:
            tensor = checkpoint.tensors[source]
            read: Callable[[int, memoryview], None] = partial(checkpoint.read_into, tensor)
            yield Work(source, tensor.dtype, tensor.row_length, tensor.n_rows, encodings, read, whole_rows=True)


def _read(data: bytes, offset_bytes: int, buffer: memoryview) -> None:
    buffer[:] = data[offset_bytes : offset_bytes + len(buffer)]


def _convert(
    encoding: Encoding, work: Work[Encoding], raw: NDArray[np.uint8], values: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """The parts of some rows, one behind the other."""
    if encoding.form is not Form.FLOAT and max(-values.min(), values.max()) > _LARGEST:
        raise CheckpointError(
            f"the tensor {work.name} holds weights beyond {_LARGEST:g}: their squares do not fit a float",
            hint="take the recipe FP32",
        )
    parts = quantize(values.reshape(-1, work.row_length), encoding)
    return np.concatenate([np.ascontiguousarray(part).view(np.uint8).reshape(-1) for part in parts])


class _DataWriter:
    """Writes one data file: levels as they come, what belongs to them when the last were there."""

    def __init__(self, graph: Graph, sink: Sink) -> None:
        self._sink = sink
        self._weights = iter(graph.weights)
        placed, self._size_bytes = graph.placed()
        self._placed = iter(placed)
        self._written = 0
        self._weight: Weight | None = None
        self._sources_left = 0
        self._current: list[Placed] = []
        self._kept: list[list[NDArray[np.uint8]]] = []

    def write(self, data: dict[Encoding, NDArray[np.uint8]], is_last: bool) -> None:
        """The next rows, as ``_convert`` gives them; ``is_last`` of a source."""
        weight = self._weight or self._begin()
        chunk = data[weight.encoding]
        for number, piece in enumerate(_split(weight, chunk)):
            if number == 0 and weight.encoding.form is not Form.COLUMNS:
                self._pad_to(self._current[0].offset_bytes, only_once=True)
                self._put(piece)
            else:
                self._kept[number].append(piece.copy())  # not a view that keeps the levels as well
        if is_last:
            self._sources_left -= 1
            if self._sources_left == 0:
                self._end(weight)

    def finish(self) -> None:
        """Check that the file has the size that was promised."""
        if self._written != self._size_bytes:
            raise AssertionError(f"wrote {self._written} bytes instead of {self._size_bytes}")

    def _begin(self) -> Weight:
        weight = self._weight = next(self._weights)
        self._sources_left = max(1, len(weight.sources))
        self._current = [next(self._placed) for _ in weight.parts]
        self._kept = [[] for _ in weight.parts]
        return weight

    def _end(self, weight: Weight) -> None:
        for number, pieces in enumerate(self._kept):
            if not pieces:
                continue
            whole = np.concatenate(pieces)
            if number == 0:  # int8 columns
                whole = np.ascontiguousarray(whole.reshape(weight.n_rows, weight.row_length).T).reshape(-1)
            self._pad_to(self._current[number].offset_bytes)
            self._put(whole)
        self._weight = None

    def _pad_to(self, offset_bytes: int, *, only_once: bool = False) -> None:
        if self._written < offset_bytes:
            self._put(np.zeros(offset_bytes - self._written, np.uint8))
        elif self._written > offset_bytes and not only_once:
            raise AssertionError(f"at {self._written} instead of {offset_bytes}")

    def _put(self, piece: NDArray[np.uint8]) -> None:
        self._sink.write(piece.data)
        self._written += piece.size


def _split(weight: Weight, chunk: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The parts of the rows of ``chunk``."""
    one_row = [part.size_bytes for part in parts_of(weight.encoding, 1, weight.row_length)]
    if weight.is_vector:
        return [chunk]
    rows = chunk.size // sum(one_row)
    ends = np.cumsum([size * rows for size in one_row])[:-1]
    return np.split(chunk, ends)
