"""The header that a GGUF will have after requantization."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from edgellm.errors import ModelFileError, UnsupportedError
from edgellm.formats.ggml_types import row_bytes
from edgellm.formats.gguf import GGUFHeader
from edgellm_converters.arch.plan import layer_order
from edgellm_converters.recipes import ArchFacts, Recipe, tensor_types

__all__ = ["requantized_header"]

_FROM = ("F32", "F16", "BF16")


def requantized_header(header: GGUFHeader, recipe: Recipe) -> GGUFHeader:
    """``header`` with the tensors in llama.cpp's order and in the types of ``recipe``.

    Offsets are not meaningful, and ``file_bytes`` is right but for the padding between tensors.

    Raises UnsupportedError for a tensor that is already quantized and would need another type: its errors would add up.
    """
    ordered = sorted(header.tensors, key=lambda tensor: layer_order(tensor.name))
    kept = {tensor.name: tensor.type for tensor in ordered}
    types = tensor_types(recipe, [t for t in ordered if t.shape], _facts(header), kept_types=kept)
    tensors = []
    for tensor in ordered:
        wanted = types.get(tensor.name, tensor.type)
        if wanted != tensor.type and tensor.type not in _FROM:
            raise UnsupportedError(
                f"the tensor {tensor.name} is {tensor.type}, which cannot become {wanted} without adding up errors",
                hint="pack the file as it is (leave out --quant), or start from its F16, BF16 or F32 version",
            )
        row_length = tensor.shape[0] if tensor.shape else 1
        n_elements = prod(tensor.shape)
        size = row_bytes(wanted, row_length) * (n_elements // row_length)
        tensors.append(replace(tensor, type=wanted, size_bytes=size))
    metadata = header.metadata | {"general.file_type": recipe.ftype}
    grown = sum(tensor.size_bytes for tensor in tensors) - sum(tensor.size_bytes for tensor in header.tensors)
    return replace(header, tensors=tuple(tensors), metadata=metadata, file_bytes=header.file_bytes + grown)


def _facts(header: GGUFHeader) -> ArchFacts:
    architecture = header.architecture
    if not architecture:
        raise ModelFileError("the file does not say its general.architecture", hint="convert the model again")
    heads = _number(header, f"{architecture}.attention.head_count")
    return ArchFacts(
        architecture=architecture,
        n_layers=_number(header, f"{architecture}.block_count"),
        n_heads=heads,
        n_kv_heads=_number(header, f"{architecture}.attention.head_count_kv", heads),
        n_experts=_number(header, f"{architecture}.expert_count"),
    )


def _number(header: GGUFHeader, key: str, default: int = 0) -> int:
    """An integer key; of a list (one value per layer) the first."""
    value = header.metadata.get(key, default)
    if isinstance(value, list):
        value = value[0] if value else default
    return value if isinstance(value, int) else default
