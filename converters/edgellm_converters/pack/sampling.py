"""Sampling defaults of a model, from its generation_config.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgellm.bundle.plan import SamplingDefaults

__all__ = ["sampling_defaults"]

_LIMITS = {
    "temperature": (0.0, 100.0),
    "top_k": (0, 2**31 - 1),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
}


def sampling_defaults(generation_config: Mapping[str, Any]) -> SamplingDefaults:
    """What generation_config.json recommends; values that make no sense are left out.

    ``do_sample: false`` means greedy decoding in transformers: temperature 0 here.
    """
    values: dict[str, Any] = {}
    for name, (low, high) in _LIMITS.items():
        value = generation_config.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            continue
        if low <= value <= high:
            values[name] = int(value) if name == "top_k" else float(value)
    if generation_config.get("do_sample") is False:
        values["temperature"] = 0.0
    return SamplingDefaults(**values)
