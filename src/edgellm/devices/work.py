"""Which tensors take part in a step, and with which share of their weights."""

from __future__ import annotations

from edgellm.devices.model import ModelShape, TensorShape

__all__ = ["active_share", "decoded_tensors", "prompt_tensors"]


def decoded_tensors(shape: ModelShape) -> list[TensorShape]:
    """What one decoded token reads: everything but embeddings that are only looked up."""
    return [
        tensor
        for tensor in shape.tensors
        if "token_embd" not in tensor.name or (shape.is_tied and tensor.name == "token_embd.weight")
    ]


def prompt_tensors(shape: ModelShape) -> list[TensorShape]:
    """What every prompt token goes through: neither embedding nor output matrix."""
    return [tensor for tensor in shape.tensors if tensor.name.startswith("blk.")]


def active_share(shape: ModelShape, name: str, users: int = 1) -> float:
    """Share of the tensor that a step of ``users`` tokens uses: 1, less for experts."""
    if "_exps" not in name or not shape.n_experts:
        return 1.0
    return min(1.0, users * shape.n_experts_used / shape.n_experts)
