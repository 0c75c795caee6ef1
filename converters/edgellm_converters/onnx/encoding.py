"""How the numbers of a matrix are stored in an ONNX model: which tensors stand for it, and how large they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from edgellm_converters.onnx.element_types import FLOAT, INT8, ITEM_BYTES, UINT8

__all__ = ["FLOAT32", "Encoding", "Form", "Part", "parts_of"]


class Form(Enum):
    """Which operator multiplies with the matrix."""

    FLOAT = "float"  # FusedMatMul
    BLOCKS = "blocks"  # MatMulNBits: one scale for each block of a row
    COLUMNS = "columns"  # DynamicQuantizeMatMul: int8, one scale for each row of the checkpoint's matrix


@dataclass(frozen=True)
class Encoding:
    """One way to store a matrix [n_rows, row_length], row-major as in the checkpoint.

    A matrix in blocks is ``scale * (level - zero point)``; the levels are unsigned and have ``bits`` bits. Symmetric
    ones have no zero points stored: it is 2^(bits - 1).
    """

    form: Form
    bits: int = 32
    block_size: int = 0
    symmetric: bool = True

    def fitted(self, row_length: int) -> Encoding:
        """The same with the largest block that divides a row, where one does: a part of a block is stored whole."""
        if self.form is not Form.BLOCKS:
            return self
        size = self.block_size
        while size > _SMALLEST_BLOCK and row_length % size:
            size //= 2
        return Encoding(self.form, self.bits, size if row_length % size == 0 else self.block_size, self.symmetric)

    def n_blocks(self, row_length: int) -> int:
        """Blocks of a row; the last may be filled up with zeros."""
        return -(-row_length // self.block_size)


_SMALLEST_BLOCK = 32
FLOAT32 = Encoding(Form.FLOAT)


class Part(NamedTuple):
    """One tensor of those that stand for a matrix."""

    suffix: str  # of its name
    dtype: int  # see element_types
    dims: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of its data."""
        size = ITEM_BYTES[self.dtype]
        for length in self.dims:
            size *= length
        return size


def parts_of(encoding: Encoding, n_rows: int, row_length: int) -> tuple[Part, ...]:
    """The tensors of a matrix in the order of their data; the first holds the levels, or the numbers themselves."""
    if encoding.form is Form.FLOAT:
        return (Part("", FLOAT, (n_rows, row_length)),)
    if encoding.form is Form.COLUMNS:
        return (Part("", INT8, (row_length, n_rows)), Part(".scales", FLOAT, (n_rows,)))
    blocks = encoding.n_blocks(row_length)
    levels = Part("", UINT8, (n_rows, blocks, encoding.block_size * encoding.bits // 8))
    scales = Part(".scales", FLOAT, (n_rows, blocks))
    if encoding.symmetric:
        return levels, scales
    return levels, scales, Part(".zero_points", UINT8, (n_rows, -(-blocks * encoding.bits // 8)))
