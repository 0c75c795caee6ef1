"""The tensor types of ggml: how many weights make a block and how many bytes a block takes.

The numbers are those of ggml's block structs (ggml-common.h); type ids those of ``enum ggml_type``.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["TYPES", "TYPE_BY_ID", "GGMLType", "is_quantized", "row_bytes"]


class GGMLType(NamedTuple):
    """One tensor type."""

    name: str  # upper case, as GGUF tools print it
    id: int  # enum ggml_type
    block_size: int  # weights per block
    block_bytes: int  # bytes per block


_TYPES = (
    GGMLType("F32", 0, 1, 4),
    GGMLType("F16", 1, 1, 2),
    GGMLType("Q4_0", 2, 32, 18),
    GGMLType("Q4_1", 3, 32, 20),
    GGMLType("Q5_0", 6, 32, 22),
    GGMLType("Q5_1", 7, 32, 24),
    GGMLType("Q8_0", 8, 32, 34),
    GGMLType("Q8_1", 9, 32, 36),
    GGMLType("Q2_K", 10, 256, 84),
    GGMLType("Q3_K", 11, 256, 110),
    GGMLType("Q4_K", 12, 256, 144),
    GGMLType("Q5_K", 13, 256, 176),
    GGMLType("Q6_K", 14, 256, 210),
    GGMLType("Q8_K", 15, 256, 292),
    GGMLType("IQ2_XXS", 16, 256, 66),
    GGMLType("IQ2_XS", 17, 256, 74),
    GGMLType("IQ3_XXS", 18, 256, 98),
    GGMLType("IQ1_S", 19, 256, 50),
    GGMLType("IQ4_NL", 20, 32, 18),
    GGMLType("IQ3_S", 21, 256, 110),
    GGMLType("IQ2_S", 22, 256, 82),
    GGMLType("IQ4_XS", 23, 256, 136),
    GGMLType("I8", 24, 1, 1),
    GGMLType("I16", 25, 1, 2),
    GGMLType("I32", 26, 1, 4),
    GGMLType("I64", 27, 1, 8),
    GGMLType("F64", 28, 1, 8),
    GGMLType("IQ1_M", 29, 256, 56),
    GGMLType("BF16", 30, 1, 2),
    GGMLType("TQ1_0", 34, 256, 54),
    GGMLType("TQ2_0", 35, 256, 66),
    GGMLType("MXFP4", 39, 32, 17),
    GGMLType("NVFP4", 40, 64, 36),
    GGMLType("Q1_0", 41, 128, 18),
    GGMLType("Q2_0", 42, 64, 18),
)

TYPES: dict[str, GGMLType] = {entry.name: entry for entry in _TYPES}
TYPE_BY_ID: dict[int, GGMLType] = {entry.id: entry for entry in _TYPES}

_PLAIN = frozenset({"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64"})


def is_quantized(type_name: str) -> bool:
    """True for the block types; False for F32, F16, BF16 and the integers. KeyError for an unknown name."""
    return TYPES[type_name].name not in _PLAIN


def row_bytes(type_name: str, n_elements: int) -> int:
    """Bytes of a row of ``n_elements`` weights.

    Raises KeyError for an unknown type and ValueError when the row is not a whole number of blocks.
    """
    entry = TYPES[type_name]
    blocks, rest = divmod(n_elements, entry.block_size)
    if rest:
        raise ValueError(f"a row of {n_elements} weights is not a whole number of {type_name} blocks")
    return blocks * entry.block_bytes
