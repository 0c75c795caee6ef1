"""Qwen 2 and 2.5: biases on q, k and v."""

from __future__ import annotations

from edgellm.errors import UnsupportedError
from edgellm_converters.arch.config import Config
from edgellm_converters.arch.decoder import DecoderParts
from edgellm_converters.arch.family import Family
from edgellm_converters.arch.hyper import Hyper, parse_hyper
from edgellm_converters.arch.window import with_optional_window

__all__ = ["FAMILY"]


def _parse(config: Config) -> Hyper:
    hyper = parse_hyper(config, "qwen2")
    if hyper.head_dim * hyper.n_heads != hyper.n_embd:
        raise UnsupportedError(
            f"head_dim {hyper.head_dim} times {hyper.n_heads} heads is not hidden_size {hyper.n_embd}: "
            "llama.cpp cannot run such a qwen2 model"
        )
    if hyper.rope.kind == "llama3":
        raise UnsupportedError(
            "llama.cpp has no llama3 RoPE scaling for qwen2", hint="supported: default, linear and yarn"
        )
    return with_optional_window(hyper, config, default_max_window_layers=28)


def _parts(config: Config) -> DecoderParts:
    return DecoderParts(qkv_bias=True)


FAMILY = Family("qwen2", "Qwen2ForCausalLM", _parse, _parts)
