"""LoRA adapters in GGUF: does a file hold one, and does it belong to this model?

For each adapted tensor NAME of the model there are NAME.lora_a and NAME.lora_b; keys: general.type "adapter",
adapter.type "lora", adapter.lora.alpha. llama.cpp checks less than what its graph asserts later, so everything is
checked here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edgellm.errors import ModelFileError, UnsupportedError
from edgellm.formats.gguf import GGUFHeader, TensorEntry

__all__ = ["AdapterFacts", "check_adapter", "is_adapter"]

_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_TYPES = ("F32", "F16", "BF16", "Q8_0")  # what llama.cpp's converter writes; all can be multiplied and looked up
_UNUSED = "_norm.weight"  # llama.cpp passes over whole norm vectors in an adapter
_AGAIN = "download or convert it again"
_OTHER = "an adapter works with the model that it was trained on, and with no other"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class AdapterFacts:
    """What a checked adapter is."""

    alpha: float  # of all tensors: each counts with alpha / rank
    rank: int  # the largest
    n_tensors: int  # of the model, that it changes
    size_bytes: int  # of its data in memory


def is_adapter(header: GGUFHeader) -> bool:
    """True when the file says that it is an adapter and not a model."""
    return header.metadata.get("general.type") == "adapter"


def check_adapter(header: GGUFHeader, what: str, architecture: str, model: Mapping[str, Shape]) -> AdapterFacts:
    """Check the adapter behind ``header`` against a model; ``what`` is what messages call it.

    ``model``: the shape of every tensor of the model in ggml order, by name. Raises ModelFileError for a file that is
    no LoRA adapter, lies, or belongs to another model; UnsupportedError for a kind that is not applied as a whole.
    """
    _check_kind(header, what, architecture)
    pairs = _pairs(header, what)
    ranks = [_check_pair(what, name, a, b, model) for name, (a, b) in pairs.items()]
    return AdapterFacts(
        alpha=_alpha(header, what),
        rank=max(ranks),
        n_tensors=len(pairs),
        size_bytes=sum(a.size_bytes + b.size_bytes for a, b in pairs.values()),
    )


def _check_kind(header: GGUFHeader, what: str, architecture: str) -> None:
    said = {}
    for key in ("general.type", "general.architecture", "adapter.type"):
        value = header.metadata.get(key)
        if not isinstance(value, str):
            raise ModelFileError(f"{what} is not an adapter: {key} is missing or no text", hint=_AGAIN)
        said[key] = value
    if said["general.type"] != "adapter":
        raise ModelFileError(
            f"{what} is of the type {said['general.type'][:40]!r}, not an adapter", hint="give a LoRA adapter"
        )
    if said["adapter.type"] != "lora":
        raise UnsupportedError(
            f"{what} is an adapter of the type {said['adapter.type'][:40]!r}", hint="LoRA adapters are supported"
        )
    if said["general.architecture"] != architecture:
        raise ModelFileError(
            f"{what} is for the architecture {said['general.architecture'][:40]!r}, the model is {architecture!r}",
            hint=_OTHER,
        )
    if "adapter.alora.invocation_tokens" in header.metadata:
        raise UnsupportedError(
            f"{what} is an activated LoRA, which starts to count in the middle of a prompt",
            hint="train it as a plain LoRA",
        )


def _alpha(header: GGUFHeader, what: str) -> float:
    """llama.cpp takes a missing alpha, or 0, for "no scaling by the rank"."""
    value = header.metadata.get("adapter.lora.alpha", 0.0)
    if header.types.get("adapter.lora.alpha", "f32") != "f32" or not isinstance(value, float):
        raise ModelFileError(f"{what}: adapter.lora.alpha is not a 32-bit float", hint=_AGAIN)
    if not math.isfinite(value):
        raise ModelFileError(f"{what}: adapter.lora.alpha is {value}", hint=_AGAIN)
    return value


def _pairs(header: GGUFHeader, what: str) -> dict[str, tuple[TensorEntry, TensorEntry]]:
    """Both halves of every adapted tensor, by the tensor's name."""
    halves: dict[str, dict[str, TensorEntry]] = {}
    for tensor in header.tensors:
        name, _, side = tensor.name.rpartition(".lora_")
        if name and side in ("a", "b"):
            halves.setdefault(name, {})[side] = tensor
        elif not tensor.name.endswith(_UNUSED):
            raise ModelFileError(f"{what} holds the tensor {tensor.name!r}, which is no part of a LoRA", hint=_AGAIN)
    if not halves:
        raise ModelFileError(f"{what} holds no LoRA tensors", hint=_AGAIN)
    for name, found in halves.items():
        if len(found) != 2:
            raise ModelFileError(f"{what} has only lora_{next(iter(found))} of {name}", hint=_AGAIN)
    return {name: (found["a"], found["b"]) for name, found in halves.items()}


def _check_pair(what: str, name: str, a: TensorEntry, b: TensorEntry, model: Mapping[str, Shape]) -> int:
    """Check one pair; returns its rank."""
    target = model.get(name)
    if target is None:
        raise ModelFileError(f"{what} changes the tensor {name!r}, which the model does not have", hint=_OTHER)
    for tensor in (a, b):
        if tensor.type not in _TYPES:
            raise UnsupportedError(
                f"{what} has {tensor.name} as {tensor.type}", hint=f"convert it to one of {', '.join(_TYPES)}"
            )
    if name.endswith(_EMBEDDING) and (name != _EMBEDDING or _OUTPUT not in model):
        raise UnsupportedError(
            f"{what} changes {name}, which llama.cpp cannot adapt in this model",
            hint="merge the adapter into the model's checkpoint and pack that",
        )
    columns, rows, *more = _padded(target)
    (first, second, *more_a), b_shape = _padded(a.shape), list(_padded(b.shape))
    if name == _EMBEDDING:  # looked up, not multiplied: lora_a lies the other way
        rank = first
        fits = second == rows and b_shape == [rank, columns, *more]
    else:
        rank = second
        fits = first == columns and b_shape == [rank, rows, *more]
    if len(target) < 2 or more_a != more or not fits:
        raise ModelFileError(
            f"{what} has {name} as {list(a.shape)} and {list(b.shape)}, the model's is {list(target)}", hint=_OTHER
        )
    return rank


def _padded(shape: Shape) -> Shape:
    """``shape`` in four dimensions: trailing ones may be written or not."""
    return shape + (1,) * (4 - len(shape))
