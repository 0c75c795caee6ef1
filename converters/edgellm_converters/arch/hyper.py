"""The hyper-parameters of a decoder with grouped-query attention, RMS norms and a gated feed-forward network."""

from __future__ import annotations

from dataclasses import dataclass

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.arch.config import Config
from edgellm_converters.arch.rope import Rope, parse_rope

__all__ = ["Hyper", "parse_hyper"]

_LAYERS_LIMIT = 1024
_HEAD_DIM_LIMIT = 1 << 14


@dataclass(frozen=True)
class Hyper:
    """Numbers that define a model, whatever its family."""

    architecture: str  # GGUF general.architecture
    n_vocab: int
    n_embd: int
    n_ff: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    head_dim_given: bool  # config.json, or the family's default in transformers, names it
    context_length: int  # as config.json says, after RoPE scaling
    rms_eps: float
    rope: Rope
    tied: bool
    sliding_window: int | None = None  # tokens; a window that llama.cpp does not honour for this family
    window_layers: tuple[int, ...] = ()  # the layers that have it
    unrotated_layers: tuple[int, ...] = ()  # layers without rotary embedding
    is_causal: bool = True

    @property
    def exact_context_length(self) -> int:
        """The longest context at which llama.cpp computes what the model was trained to: the window caps it."""
        return min(self.context_length, self.sliding_window or self.context_length)


def parse_hyper(
    config: Config,
    architecture: str,
    *,
    default_theta: float = 10_000.0,
    default_head_dim: int | None = None,
    head_dim_always_given: bool = False,
    default_tied: bool = False,
) -> Hyper:
    """Read what all families share. The defaults are those of the family's class in transformers.

    Raises CheckpointError for impossible numbers, UnsupportedError for what the runtime cannot compute.
    """
    activation = config.text("hidden_act", "silu")
    if activation not in ("silu", "swish"):
        raise UnsupportedError(f"the activation {activation[:40]!r} is not supported", hint="supported: silu")
    n_embd = config.integer("hidden_size")
    n_heads = config.integer("num_attention_heads")
    n_kv_heads = config.integer("num_key_value_heads", n_heads)
    if n_heads % n_kv_heads:
        raise CheckpointError(f"{n_heads} attention heads cannot share {n_kv_heads} key-value heads")
    given = "head_dim" in config or default_head_dim is not None
    head_dim = config.integer("head_dim", default_head_dim or max(1, n_embd // n_heads))
    if not given and n_embd % n_heads:
        raise CheckpointError(f"hidden_size {n_embd} is not a multiple of {n_heads} attention heads")
    if head_dim % 2 or head_dim > _HEAD_DIM_LIMIT:
        raise CheckpointError(f"head_dim {head_dim} is not an even number up to {_HEAD_DIM_LIMIT}")
    n_layers = config.integer("num_hidden_layers")
    if n_layers > _LAYERS_LIMIT:
        raise CheckpointError(f"num_hidden_layers {n_layers} is more than any runtime loads ({_LAYERS_LIMIT})")
    return Hyper(
        architecture=architecture,
        n_vocab=config.integer("vocab_size"),
        n_embd=n_embd,
        n_ff=config.integer("intermediate_size"),
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        head_dim_given=given or head_dim_always_given,
        context_length=config.integer("max_position_embeddings"),
        rms_eps=config.number("rms_norm_eps", 1e-6),
        rope=parse_rope(config, default_theta),
        tied=config.flag("tie_word_embeddings", default_tied),
        is_causal=config.flag("is_causal", True),
    )
