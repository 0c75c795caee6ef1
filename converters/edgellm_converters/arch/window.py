"""Sliding windows of families that have full attention by default."""

from __future__ import annotations

from edgellm_converters.arch.config import Config

__all__ = ["optional_window"]


def optional_window(config: Config, n_layers: int, *, default_max_window_layers: int) -> int | None:
    """The window in tokens, or None when no layer uses one.

    ``layer_types`` decides where it is given; else ``use_sliding_window`` with the layers from ``max_window_layers``
    on, as in transformers. llama.cpp honours none of them for these families.
    """
    if not config.flag("use_sliding_window") or "sliding_window" not in config:
        return None
    window = config.integer("sliding_window")
    types = config.texts("layer_types")
    if types is not None:
        return window if "sliding_attention" in types[:n_layers] else None
    first = config.integer("max_window_layers", default_max_window_layers, minimum=0)
    return window if first < n_layers else None
