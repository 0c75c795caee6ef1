"""The weights of a graph in the order of its data file: where each comes from, and where it lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgellm_converters.onnx.encoding import FLOAT32, Encoding, Part, parts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DATA_NAME", "Placed", "Weight", "place"]

DATA_NAME = "model.onnx.data"
_LARGE_BYTES = 1 << 20
_LARGE_ALIGNMENT = 4096  # a page: what is large is mapped and given back page by page
_SMALL_ALIGNMENT = 64  # a cache line


@dataclass(frozen=True)
class Weight:
    """One matrix [n_rows, row_length] or vector (one row), with what stands for it in the graph.

    ``sources`` are tensors of the checkpoint, one below the other; ``values`` are given for what is computed.
    """

    name: str
    n_rows: int
    row_length: int
    sources: tuple[str, ...] = ()
    encoding: Encoding = FLOAT32
    values: NDArray[np.float32] | None = None
    is_vector: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its tensors."""
        if self.is_vector:
            return (parts_of(FLOAT32, 1, self.row_length)[0]._replace(dims=(self.row_length,)),)
        return parts_of(self.encoding, self.n_rows, self.row_length)

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """The names of ``parts``."""
        return tuple(self.name + part.suffix for part in self.parts)


@dataclass(frozen=True)
class Placed:
    """One tensor in the data file."""

    name: str
    part: Part
    offset_bytes: int


def place(weights: Iterable[Weight]) -> tuple[list[Placed], int]:
    """Where every tensor lies, one behind the other with zeros between them, and the size of the file."""
    placed = []
    end = 0
    for weight in weights:
        for name, part in zip(weight.tensor_names, weight.parts, strict=True):
            alignment = _LARGE_ALIGNMENT if part.size_bytes >= _LARGE_BYTES else _SMALL_ALIGNMENT
            start = -(-end // alignment) * alignment
            placed.append(Placed(name, part, start))
            end = start + part.size_bytes
    return placed, end
