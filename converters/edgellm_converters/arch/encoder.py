"""Encoders: the hyper-parameters and tensors of what came of BERT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.arch.config import Config
from edgellm_converters.arch.family import HasTensors
from edgellm_converters.arch.metadata import MetadataEntry
from edgellm_converters.arch.plan import HasShape, TensorPlan, match_tensors

__all__ = ["Activation", "EncoderFamily", "EncoderHyper", "parse_encoder"]

Activation = Literal["gelu", "gelu_tanh"]
_ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
_LAYERS_LIMIT = 1024


@dataclass(frozen=True)
class EncoderHyper:
    """Numbers that define an encoder with learned positions, layer norms behind the sums, and no gates."""

    architecture: str  # GGUF general.architecture
    n_vocab: int
    n_embd: int
    n_ff: int
    n_layers: int
    n_heads: int
    n_positions: int
    n_token_types: int
    norm_eps: float
    activation: Activation

    @property
    def head_dim(self) -> int:
        """Numbers of one head."""
        return self.n_embd // self.n_heads


def parse_encoder(config: Config, architecture: str) -> EncoderHyper:
    """Read config.json; the defaults are those of BertConfig in transformers.

    Raises CheckpointError for impossible numbers, UnsupportedError for what the runtimes cannot compute.
    """
    activation = config.text("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise UnsupportedError(
            f"the activation {activation[:40]!r} is not supported", hint=f"supported: {', '.join(_ACTIVATIONS)}"
        )
    positions = config.text("position_embedding_type", "absolute")
    if positions != "absolute":
        raise UnsupportedError(
            f"positions of the type {positions[:40]!r} are not supported", hint="supported: absolute"
        )
    if config.flag("is_decoder"):
        raise UnsupportedError("this BERT is a decoder (is_decoder in config.json)", hint="encoders are supported")
    n_embd, n_heads = config.integer("hidden_size", 768), config.integer("num_attention_heads", 12)
    if n_embd % n_heads:
        raise CheckpointError(f"hidden_size {n_embd} is not a multiple of {n_heads} attention heads")
    n_layers = config.integer("num_hidden_layers", 12)
    if n_layers > _LAYERS_LIMIT:
        raise CheckpointError(f"num_hidden_layers {n_layers} is more than any runtime loads ({_LAYERS_LIMIT})")
    return EncoderHyper(
        architecture=architecture,
        n_vocab=config.integer("vocab_size", 30522),
        n_embd=n_embd,
        n_ff=config.integer("intermediate_size", 3072),
        n_layers=n_layers,
        n_heads=n_heads,
        n_positions=config.integer("max_position_embeddings", 512),
        n_token_types=config.integer("type_vocab_size", 2),
        norm_eps=config.number("layer_norm_eps", 1e-12),
        activation=_ACTIVATIONS[activation],
    )


@dataclass(frozen=True)
class EncoderFamily:
    """One Hugging Face ``model_type`` of encoders; see ``family.Family``.

    ``tensors_of`` lists the tensors under the names of the bare model. A model with a head has them below ``prefix``;
    ``heads`` are the beginnings of names that vectors do not need.
    """

    model_type: str
    hf_architectures: tuple[str, ...]
    parse_config: Callable[[Config], EncoderHyper]
    tensors_of: Callable[[EncoderHyper], list[TensorPlan]]
    prefix: str
    heads: tuple[str, ...]

    def check_architecture(self, architectures: object) -> None:
        """Raise UnsupportedError when config.json names a model with a head that does more than fill gaps."""
        if not isinstance(architectures, list) or not architectures:
            return
        if architectures[0] not in self.hf_architectures:
            raise UnsupportedError(
                f"the architecture {str(architectures[0])[:80]!r} is not supported",
                hint=f"of the model type {self.model_type}, {' and '.join(self.hf_architectures)} are: they turn texts "
                "into vectors",
            )

    def parse(self, config: dict[str, Any]) -> EncoderHyper:
        """The hyper-parameters. Raises CheckpointError or UnsupportedError."""
        return self.parse_config(Config(config))

    def tensors(self, hyper: EncoderHyper, checkpoint: HasTensors) -> list[TensorPlan]:
        """The tensors of the GGUF in llama.cpp's order, checked against the checkpoint. Raises CheckpointError."""
        found = {name: tensor for name, tensor in checkpoint.tensors.items() if not self._is_head(name)}
        return match_tensors([_as_there(plan, found, self.prefix) for plan in self.tensors_of(hyper)], found)

    def gguf_metadata(self, hyper: EncoderHyper) -> list[MetadataEntry]:
        """The keys of the architecture: (key, value, GGUF type)."""
        prefix = hyper.architecture
        return [
            (f"{prefix}.block_count", hyper.n_layers, "u32"),
            (f"{prefix}.context_length", hyper.n_positions, "u32"),
            (f"{prefix}.embedding_length", hyper.n_embd, "u32"),
            (f"{prefix}.feed_forward_length", hyper.n_ff, "u32"),
            (f"{prefix}.attention.head_count", hyper.n_heads, "u32"),
            (f"{prefix}.attention.layer_norm_epsilon", hyper.norm_eps, "f32"),
            (f"{prefix}.attention.causal", False, "bool"),
            ("tokenizer.ggml.token_type_count", hyper.n_token_types, "u32"),
        ]

    def _is_head(self, name: str) -> bool:
        return name.startswith(self.heads) or name.removeprefix(self.prefix).startswith(self.heads)


def _as_there(plan: TensorPlan, tensors: Mapping[str, HasShape], prefix: str) -> TensorPlan:
    """``plan`` with the name that its source has in this checkpoint: below a prefix, or as TensorFlow called norms."""
    old = plan.source.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    names = (plan.source, prefix + plan.source, old, prefix + old)
    return replace(plan, source=next((name for name in names if name in tensors), plan.source))
