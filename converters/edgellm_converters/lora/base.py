"""What of a base model an adapter may change: the matrices, by their names in the checkpoint and in the GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from edgellm.errors import UnsupportedError
from edgellm.formats.gguf import GGUFHeader
from edgellm_converters.arch import Family, get_decoder
from edgellm_converters.arch.config import Config
from edgellm_converters.arch.decoder import MATRICES
from edgellm_converters.arch.plan import TensorPlan, layer_order
from edgellm_converters.checkpoint import Checkpoint

__all__ = ["AdapterBase", "base_of_checkpoint", "base_of_gguf"]

_FAMILIES = ("llama", "qwen2", "qwen3", "smollm3")  # by GGUF architecture; mistral is a llama there


@dataclass(frozen=True)
class AdapterBase:
    """A base model as adapters see it."""

    architecture: str  # GGUF general.architecture
    shapes: Mapping[str, tuple[int, ...]]  # of every tensor in ggml order, by GGUF name
    matrices: Mapping[str, TensorPlan]  # by module: model.layers.0.self_attn.q_proj
    refusal: UnsupportedError | None = None  # why a PEFT adapter cannot be matched with it

    @property
    def is_tied(self) -> bool:
        """True when the embedding table also is the output matrix."""
        return "output.weight" not in self.shapes


def base_of_checkpoint(checkpoint: Checkpoint) -> AdapterBase:
    """The base model in a checkpoint. Raises CheckpointError, UnsupportedError."""
    family = get_decoder(checkpoint.config)
    hyper = family.parse(checkpoint.config)
    plans = family.tensors(hyper, checkpoint)
    matrices = {plan.source.removesuffix(".weight"): plan for plan in plans if plan.source and len(plan.shape) == 2}
    return AdapterBase(hyper.architecture, {plan.name: plan.shape for plan in plans}, matrices)


def base_of_gguf(header: GGUFHeader) -> AdapterBase:
    """The base model in a GGUF file: of an architecture that we convert, with the names that its checkpoint had."""
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    try:
        return AdapterBase(header.architecture, shapes, _matrices(header, shapes))
    except UnsupportedError as error:
        return AdapterBase(header.architecture, shapes, {}, error)


def _matrices(header: GGUFHeader, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, TensorPlan]:
    architecture = header.architecture
    if architecture not in _FAMILIES:
        raise UnsupportedError(
            f"a PEFT adapter for a GGUF of the architecture {architecture[:40]!r} is not supported",
            hint="convert it with llama.cpp's convert_lora_to_gguf.py and give the GGUF adapter",
        )
    family: Family = import_module(f"edgellm_converters.arch.{architecture}").FAMILY
    permute = family.parts(Config({})).permute
    matrices = {}
    for name, shape in shapes.items():
        module, heads_key = _module(name)
        if module and len(shape) == 2:
            heads = _heads(header, heads_key) if permute and heads_key else 0
            if heads and shape[1] % (2 * heads):
                raise UnsupportedError(f"{name} has {shape[1]} rows, which are no {heads} heads of pairs")
            matrices[module] = TensorPlan(name, shape, f"{module}.weight", heads)
    return matrices


def _module(name: str) -> tuple[str, str]:
    """The checkpoint's name of a GGUF tensor's module, and the key of its number of heads; else empty."""
    if name in ("token_embd.weight", "output.weight"):
        return ("model.embed_tokens" if name.startswith("token") else "lm_head"), ""
    layer, _ = layer_order(name)
    part = name.removeprefix(f"blk.{layer}.").removesuffix(".weight")
    if layer < 0 or part not in MATRICES:
        return "", ""
    heads = {"attn_q": "head_count", "attn_k": "head_count_kv"}.get(part, "")
    return f"model.layers.{layer}.{MATRICES[part]}", heads


def _heads(header: GGUFHeader, key: str) -> int:
    """The number of heads; without a number of its own for keys and values it is that of the queries."""
    prefix = f"{header.architecture}.attention."
    heads = header.metadata.get(prefix + key, header.metadata.get(f"{prefix}head_count"))
    if type(heads) is not int or heads < 1:
        raise UnsupportedError(
            f"{prefix}{key} in the GGUF is not one number for all layers: where its heads lie is not known",
            hint="pack the model from its checkpoint",
        )
    return heads
