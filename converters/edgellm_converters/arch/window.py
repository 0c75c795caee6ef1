"""Sliding windows of families that have full attention by default."""

from __future__ import annotations

from dataclasses import replace

from edgellm_converters.arch.config import Config
from edgellm_converters.arch.hyper import Hyper

__all__ = ["with_optional_window"]


def with_optional_window(hyper: Hyper, config: Config, *, default_max_window_layers: int) -> Hyper:
    """``hyper`` with the window in tokens and the layers that have it; as it is where no layer has one.

    ``layer_types`` decides where it is given; else ``use_sliding_window`` with the layers from ``max_window_layers``
    on, as in transformers. llama.cpp honours none of them for these families.
    """
    if not config.flag("use_sliding_window") or "sliding_window" not in config:
        return hyper
    window = config.integer("sliding_window")
    types = config.texts("layer_types")
    if types is None:
        first = config.integer("max_window_layers", default_max_window_layers, minimum=0)
        layers = list(range(first, hyper.n_layers))
    else:
        layers = [layer for layer, kind in enumerate(types[: hyper.n_layers]) if kind == "sliding_attention"]
    return replace(hyper, sliding_window=window, window_layers=tuple(layers)) if layers else hyper
