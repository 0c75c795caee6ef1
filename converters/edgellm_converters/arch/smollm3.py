"""SmolLM 3: a Llama in which every fourth layer has no rotary embedding."""

from __future__ import annotations

from dataclasses import replace

from edgellm.errors import UnsupportedError
from edgellm_converters.arch.config import Config
from edgellm_converters.arch.decoder import DecoderParts
from edgellm_converters.arch.family import Family
from edgellm_converters.arch.hyper import Hyper, parse_hyper
from edgellm_converters.arch.window import with_optional_window

__all__ = ["FAMILY"]

_NO_ROPE_INTERVAL = 4  # fixed in llama.cpp


def _parse(config: Config) -> Hyper:
    hyper = parse_hyper(config, "smollm3", default_theta=2_000_000.0, default_tied=True)
    if hyper.rope.kind == "llama3":
        raise UnsupportedError(
            "llama.cpp has no llama3 RoPE scaling for smollm3", hint="supported: default, linear and yarn"
        )
    unrotated = _unrotated_layers(config, hyper.n_layers)
    hyper = replace(hyper, unrotated_layers=unrotated)
    return with_optional_window(hyper, config, default_max_window_layers=0)


def _unrotated_layers(config: Config, n_layers: int) -> tuple[int, ...]:
    interval = config.integer("no_rope_layer_interval", _NO_ROPE_INTERVAL)
    layers = config.integers("no_rope_layers")
    if layers is None:
        layers = [int((layer + 1) % interval != 0) for layer in range(n_layers)]
    expected = [int((layer + 1) % _NO_ROPE_INTERVAL != 0) for layer in range(n_layers)]
    if layers[:n_layers] != expected:
        raise UnsupportedError(
            "the layers without rotary embedding are not every fourth one: llama.cpp cannot run such a smollm3 model"
        )
    return tuple(layer for layer in range(n_layers) if not expected[layer])


def _parts(config: Config) -> DecoderParts:
    for key in ("attention_bias", "mlp_bias"):
        if config.flag(key):
            raise UnsupportedError(f"{key} is set: llama.cpp has no such biases in smollm3")
    return DecoderParts(permute=True)


FAMILY = Family("smollm3", "SmolLM3ForCausalLM", _parse, _parts, llama_keys=True)
