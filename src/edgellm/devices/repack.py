"""Which tensors llama.cpp keeps a second, rearranged copy of, by the processor's features.

Transcribed from the selection table in ggml/src/ggml-cpu/repack.cpp (ggml 0.25.3): the type, the instruction set and
the number of rows decide. An embedding table that is only looked up stays as it is; one that also serves as the output
matrix (tied) is repacked like any other matrix, while the mapped original is still used for the look-up.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgellm.devices.model import ModelShape, TensorShape

__all__ = ["repack_bytes", "repacked_tensors", "replaced_bytes", "row_multiples"]

_NEON_DOT = {"Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "Q8_0": 4, "IQ4_NL": 4, "MXFP4": 4, "Q1_0": 4}
_AVX2 = {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8}
_RVV256 = {"Q4_0": 16, "Q4_K": 16, "Q2_K": 16, "IQ4_NL": 16, "Q8_0": 16}
_LOOKED_UP = ("token_embd.weight", "per_layer_token_embd.weight", "position_embd.weight", "token_types.weight")


def row_multiples(features: Iterable[str]) -> dict[str, int]:
    """Types that are repacked on a CPU with these features (names as in /proc/cpuinfo), with the row multiple needed.

    ``zvl256b`` stands for RISC-V vectors of 256 bits; other lengths are not repacked.
    """
    have = set(features)
    if "avx2" in have:
        return _AVX2 | ({"Q2_K": 8} if "avx512f" in have else {})
    if "asimddp" in have:
        return _NEON_DOT
    if "zvfh" in have and "zvl256b" in have:
        return _RVV256
    return {}


def repacked_tensors(shape: ModelShape, features: Iterable[str]) -> list[TensorShape]:
    """The tensors of ``shape`` that are repacked on a CPU with these features."""
    multiples = row_multiples(features)
    if not multiples:
        return []
    tied = shape.is_tied
    return [
        tensor
        for tensor in shape.tensors
        if (multiple := multiples.get(tensor.type)) is not None
        and len(tensor.shape) in (2, 3)
        and tensor.name.endswith(".weight")
        and tensor.shape[1] % multiple == 0
        and (tensor.name not in _LOOKED_UP or (tied and tensor.name == "token_embd.weight"))
    ]


def repack_bytes(shape: ModelShape, features: Iterable[str]) -> int:
    """Size of the second copy; each type keeps its size when it is rearranged."""
    return sum(tensor.size_bytes for tensor in repacked_tensors(shape, features))


def replaced_bytes(shape: ModelShape, features: Iterable[str]) -> int:
    """Of the repacked tensors, what is not needed in its first form too: without mmap these bytes are never kept."""
    return sum(tensor.size_bytes for tensor in repacked_tensors(shape, features) if tensor.name not in _LOOKED_UP)
