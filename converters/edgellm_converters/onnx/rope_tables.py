"""Rotary embeddings as tables of cosines and sines, with the scaling of config.json baked in.

Formulas: transformers' modeling_rope_utils.py, in float32 where it uses float32; YaRN: https://arxiv.org/abs/2309.00071.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgellm_converters.arch.rope import llama3_factors, yarn_temperature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgellm_converters.arch.rope import Rope

__all__ = ["rope_tables"]

_BETA_FAST, _BETA_SLOW = 32.0, 1.0


def rope_tables(rope: Rope, head_dim: int, length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines [length, head_dim / 2] of the positions from 0 on."""
    angles = np.arange(length, dtype=np.float32)[:, None] * _frequencies(rope, head_dim)[None, :]
    cosines, sines = np.cos(angles), np.sin(angles)
    if rope.kind == "yarn":
        scale = np.float32(yarn_temperature(rope))
        cosines, sines = cosines * scale, sines * scale
    return cosines, sines


def _frequencies(rope: Rope, head_dim: int) -> NDArray[np.float32]:
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    powers: NDArray[np.float32] = np.power(np.float32(rope.theta), exponents, dtype=np.float32)
    plain: NDArray[np.float32] = np.float32(1.0) / powers
    if rope.kind == "linear":
        plain = plain / np.float32(rope.factor)
    elif rope.kind == "llama3":
        plain = np.divide(plain, llama3_factors(rope, head_dim), dtype=np.float32)
    elif rope.kind == "yarn":
        kept = _kept_share(rope, head_dim)
        interpolated = np.float32(1.0) / (np.float32(rope.factor) * powers)
        plain = np.asarray(interpolated * (np.float32(1.0) - kept) + plain * kept, np.float32)
    return plain


def _kept_share(rope: Rope, head_dim: int) -> NDArray[np.float32]:
    """How much of each frequency YaRN leaves alone: 1 for the fast ones, 0 for those that turn less than once."""

    def turning(turns: float) -> float:
        """The dimension whose angle turns so many times within the original context."""
        return head_dim * math.log(rope.original_context / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low = max(math.floor(turning(rope.beta_fast or _BETA_FAST)), 0)
    high = min(math.ceil(turning(rope.beta_slow or _BETA_SLOW)), head_dim - 1)
    ramp = (np.arange(head_dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(max(high - low, 0.001))
    kept: NDArray[np.float32] = np.float32(1.0) - np.clip(ramp, 0, 1).astype(np.float32)
    return kept
