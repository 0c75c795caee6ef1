"""Mistral: a Llama whose attention may look back over a window only.

llama.cpp runs it as a Llama, without the window. Up to the window's length both are the same, so the window becomes the
longest context that is exact.
"""

from __future__ import annotations

from dataclasses import replace

from edgellm_converters.arch.config import Config
from edgellm_converters.arch.decoder import DecoderParts
from edgellm_converters.arch.family import Family
from edgellm_converters.arch.hyper import Hyper, parse_hyper

__all__ = ["FAMILY"]


def _parse(config: Config) -> Hyper:
    hyper = parse_hyper(config, "llama", head_dim_always_given=True)
    window = config.integer("sliding_window") if "sliding_window" in config else None
    return replace(hyper, sliding_window=window, window_layers=tuple(range(hyper.n_layers)) if window else ())


def _parts(config: Config) -> DecoderParts:
    return DecoderParts(permute=True)


FAMILY = Family("mistral", "MistralForCausalLM", _parse, _parts, llama_keys=True)
