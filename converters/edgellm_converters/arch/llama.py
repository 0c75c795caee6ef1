"""Llama 1 to 3, SmolLM, TinyLlama and everything else that transformers loads as ``llama``."""

from __future__ import annotations

from edgellm_converters.arch.config import Config
from edgellm_converters.arch.decoder import DecoderParts
from edgellm_converters.arch.family import Family
from edgellm_converters.arch.hyper import Hyper, parse_hyper

__all__ = ["FAMILY"]


def _parse(config: Config) -> Hyper:
    return parse_hyper(config, "llama", head_dim_always_given=True)


def _parts(config: Config) -> DecoderParts:
    attention_bias = config.flag("attention_bias")
    return DecoderParts(
        permute=True, qkv_bias=attention_bias, output_bias=attention_bias, mlp_bias=config.flag("mlp_bias")
    )


FAMILY = Family("llama", "LlamaForCausalLM", _parse, _parts, llama_keys=True)
