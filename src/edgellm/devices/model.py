"""What memory and speed depend on: the shape of a model, without its weights."""

from __future__ import annotations

import msgspec

__all__ = ["AttentionLayer", "ModelShape", "TensorShape"]


class TensorShape(msgspec.Struct, frozen=True):
    """One tensor as it stands (or will stand) in the model file."""

    name: str  # GGUF name, e.g. "blk.0.attn_q.weight"
    type: str  # ggml type name in upper case: "F32", "Q4_K", "IQ4_NL"; in an ONNX model "INT4_32" and the like
    shape: tuple[int, ...]  # ggml order: the row length (ne[0]) first
    size_bytes: int

    @property
    def n_elements(self) -> int:
        """Number of weights."""
        count = 1
        for length in self.shape:
            count *= length
        return count


class AttentionLayer(msgspec.Struct, frozen=True):
    """What one layer keeps per token in the KV cache."""

    n_kv_heads: int
    key_length: int  # elements per head
    value_length: int
    window: int | None = None  # sliding window in tokens that llama.cpp honours for this layer; None is full attention


class ModelShape(msgspec.Struct, frozen=True):
    """A model as the fit model sees it; made from a checkpoint's headers plus a recipe, or from a GGUF header."""

    architecture: str  # GGUF general.architecture
    n_embd: int
    n_vocab: int
    n_heads: int
    context_length: int  # what the model was trained for, after RoPE scaling
    layers: tuple[AttentionLayer, ...]
    tensors: tuple[TensorShape, ...]
    recipe: str = ""  # "Q4_K_M"; empty when unknown
    n_experts: int = 0
    n_experts_used: int = 0
    state_bytes: int = 0  # recurrent state of one sequence; 0 for attention-only models
    notes: tuple[str, ...] = ()  # what could not be read from the header and was assumed
    file_bytes: int = 0  # the model file with its header; 0 where it has yet to be converted
    format: str = "gguf"  # or "onnx"
    is_encoder: bool = False  # turns whole texts into vectors: no KV cache, no output matrix, nothing is generated
    usual_context: int = 0  # where the makers of an encoder cut texts; 0 where they say nothing

    @property
    def n_parameters(self) -> int:
        """Number of weights in all tensors."""
        return sum(tensor.n_elements for tensor in self.tensors)

    @property
    def is_tied(self) -> bool:
        """True when the embedding table also serves as the output matrix."""
        return not self.is_encoder and all(tensor.name != "output.weight" for tensor in self.tensors)

    @property
    def weights_bytes(self) -> int:
        """Size of all tensor data."""
        return sum(tensor.size_bytes for tensor in self.tensors)

    @property
    def size_bytes(self) -> int:
        """What the model takes on a disk; of one that has yet to be converted its tensors, without the vocabulary."""
        return self.file_bytes or self.weights_bytes
