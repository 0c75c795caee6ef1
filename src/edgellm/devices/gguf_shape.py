"""From the header of a GGUF file to the shape that the fit model needs."""

from __future__ import annotations

from edgellm.devices.model import AttentionLayer, ModelShape, TensorShape
from edgellm.devices.windows import sliding_layers
from edgellm.errors import ModelFileError
from edgellm.formats.encoders import is_encoder, keeps_cache
from edgellm.formats.gguf import ArraySummary, GGUFHeader

__all__ = ["shape_from_gguf"]

_LAYERS_LIMIT = 4096
_VALUE_LIMIT = 1 << 31
# File type numbers of llama.cpp (enum llama_ftype) that are recipes of ours.
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 25: "IQ4_NL", 30: "IQ4_XS",
    32: "BF16",
}  # fmt: skip


def shape_from_gguf(header: GGUFHeader) -> ModelShape:
    """The shape of the model in a GGUF file, whatever its architecture.

    What an unknown architecture keeps under other names is assumed, and said in ``notes``. Raises ModelFileError when
    the header lacks what every language model has, or states impossible numbers.
    """
    keys = _Keys(header)
    n_layers = keys.integer("block_count", 0, limit=_LAYERS_LIMIT)
    n_embd = keys.integer("embedding_length", 0)
    if n_layers < 1 or n_embd < 1:
        raise ModelFileError(
            "the GGUF header describes no language model: block_count or embedding_length is missing",
            hint="give a model file, not an adapter, a projector or an importance matrix",
        )
    heads = keys.per_layer("attention.head_count", n_layers, 0)
    kv_heads = keys.per_layer("attention.head_count_kv", n_layers, None, heads)
    n_heads = max(heads)
    head_dim = n_embd // n_heads if n_heads else 0
    encodes = is_encoder(keys.architecture, header.metadata)
    layers, notes = _layers(keys, kv_heads, head_dim)
    if encodes and not keeps_cache(keys.architecture):
        layers = ()
    state_bytes, state_notes = _recurrent(keys, kv_heads)
    file_type = header.metadata.get("general.file_type")
    return ModelShape(
        architecture=keys.architecture,
        n_embd=n_embd,
        n_vocab=_vocabulary(header, keys),
        n_heads=n_heads,
        context_length=keys.integer("context_length", 0),
        layers=layers,
        tensors=tuple(TensorShape(t.name, t.type, t.shape, t.size_bytes) for t in header.tensors),
        recipe=_FILE_TYPES.get(file_type, "") if isinstance(file_type, int) else "",
        n_experts=keys.integer("expert_count", 0),
        n_experts_used=keys.integer("expert_used_count", 0),
        state_bytes=state_bytes,
        notes=(*notes, *state_notes),
        file_bytes=header.file_bytes,
        is_encoder=encodes,
    )


class _Keys:
    """Metadata under ``<architecture>.``."""

    def __init__(self, header: GGUFHeader) -> None:
        self.architecture = header.architecture
        self.metadata = header.metadata

    def get(self, name: str) -> object:
        return self.metadata.get(f"{self.architecture}.{name}")

    def integer(self, name: str, default: int, *, limit: int = _VALUE_LIMIT) -> int:
        """A number; a per-layer array counts with its largest entry."""
        value = self.get(name)
        if value is None:
            return default
        numbers = [value] if isinstance(value, int) else value if isinstance(value, list) else None
        if numbers is None or not all(isinstance(n, int) for n in numbers):
            raise ModelFileError(f"{self.architecture}.{name} in the GGUF header is not a number")
        largest = max(numbers, default=default)
        if not 0 <= largest <= limit:
            raise ModelFileError(f"{self.architecture}.{name} in the GGUF header is {largest}: not possible")
        return int(largest)

    def per_layer(self, name: str, n_layers: int, default: int | None, defaults: list[int] | None = None) -> list[int]:
        """One number per layer, from a number or an array."""
        value = self.get(name)
        if isinstance(value, ArraySummary):
            raise ModelFileError(f"{self.architecture}.{name} in the GGUF header has {value.length} entries")
        if isinstance(value, list):
            if len(value) < n_layers or not all(isinstance(n, int) and 0 <= n <= _VALUE_LIMIT for n in value):
                raise ModelFileError(f"{self.architecture}.{name} in the GGUF header does not give {n_layers} numbers")
            return [int(n) for n in value[:n_layers]]
        if value is None and defaults is not None:
            return defaults
        return [self.integer(name, default or 0)] * n_layers


def _layers(keys: _Keys, kv_heads: list[int], head_dim: int) -> tuple[tuple[AttentionLayer, ...], list[str]]:
    notes: list[str] = []
    key, value = keys.integer("attention.key_length", head_dim), keys.integer("attention.value_length", head_dim)
    latent = keys.integer("attention.kv_lora_rank", 0)
    if latent:  # multi-head latent attention: one latent and the rotary part, no values
        rotary = keys.integer("rope.dimension_count", 0)
        return tuple(AttentionLayer(1, latent + rotary, 0) for _ in kv_heads), ["KV cache assumed latent (MLA)"]
    window = keys.integer("attention.sliding_window", 0)
    pattern = keys.get("attention.sliding_window_pattern")
    sliding, note = sliding_layers(keys.architecture, len(kv_heads), window, pattern)
    if note:
        notes.append(note)
    key_swa = keys.integer("attention.key_length_swa", key)
    value_swa = keys.integer("attention.value_length_swa", value)
    layers = tuple(
        AttentionLayer(n, key_swa if slides else key, value_swa if slides else value, slides)
        for n, slides in zip(kv_heads, sliding, strict=True)
    )
    return layers, notes


def _recurrent(keys: _Keys, kv_heads: list[int]) -> tuple[int, list[str]]:
    """State of the layers without attention, in F32: the convolution's tail and the state matrix."""
    inner, state = keys.integer("ssm.inner_size", 0), keys.integer("ssm.state_size", 0)
    width, groups = keys.integer("ssm.conv_kernel", 0), keys.integer("ssm.group_count", 0)
    recurrent = sum(1 for n in kv_heads if n == 0) or (len(kv_heads) if inner else 0)
    if inner:
        size = 4 * recurrent * (max(width - 1, 0) * (inner + 2 * groups * state) + state * inner)
        return size, ["recurrent layers: their state is estimated"]
    if any(n == 0 for n in kv_heads) and any(kv_heads):
        return 0, ["some layers keep no KV cache; what they keep instead is not counted"]
    return 0, []


def _vocabulary(header: GGUFHeader, keys: _Keys) -> int:
    for tensor in header.tensors:
        if tensor.name in ("token_embd.weight", "output.weight") and len(tensor.shape) == 2:
            return tensor.shape[1]
    return keys.integer("vocab_size", 0)
