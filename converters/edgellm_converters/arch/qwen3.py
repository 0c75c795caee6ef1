"""Qwen 3: norms over the heads of q and k, head_dim apart from hidden_size."""

from __future__ import annotations

from edgellm.errors import UnsupportedError
from edgellm_converters.arch.config import Config
from edgellm_converters.arch.decoder import DecoderParts
from edgellm_converters.arch.family import Family
from edgellm_converters.arch.hyper import Hyper, parse_hyper
from edgellm_converters.arch.window import with_optional_window

__all__ = ["FAMILY"]


def _parse(config: Config) -> Hyper:
    hyper = parse_hyper(config, "qwen3", default_head_dim=128)
    if hyper.rope.kind == "llama3":
        raise UnsupportedError(
            "llama.cpp has no llama3 RoPE scaling for qwen3", hint="supported: default, linear and yarn"
        )
    return with_optional_window(hyper, config, default_max_window_layers=28)


def _parts(config: Config) -> DecoderParts:
    if config.flag("attention_bias"):
        raise UnsupportedError("attention_bias is set: llama.cpp has no biases in qwen3's attention output")
    return DecoderParts(head_norms=True)


FAMILY = Family("qwen3", "Qwen3ForCausalLM", _parse, _parts)
