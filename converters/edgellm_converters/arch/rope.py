"""Rotary position embeddings: the scaling that config.json asks for, and how GGUF says it.

transformers 4 writes ``rope_theta`` and ``rope_scaling``, transformers 5 writes ``rope_parameters``; both are read.
Formulas: transformers' modeling_rope_utils.py; YaRN: https://arxiv.org/abs/2309.00071.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.arch.config import Config

__all__ = ["Rope", "llama3_factors", "parse_rope", "yarn_temperature"]

_YARN_BETAS = {"beta_fast": 32.0, "beta_slow": 1.0}  # llama.cpp reads other ones for no family that we have

Kind = Literal["default", "linear", "yarn", "llama3"]


@dataclass(frozen=True)
class Rope:
    """RoPE with its scaling. Fields that a kind does not use keep their default."""

    theta: float
    kind: Kind = "default"
    factor: float = 1.0
    original_context: int = 0
    attention_factor: float | None = None  # yarn: what cos and sin are multiplied by, when config.json sets it
    explicit_attention_factor: float | None = None  # the value of the key itself
    beta_fast: float | None = None
    beta_slow: float | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0


def parse_rope(config: Config, default_theta: float) -> Rope:
    """RoPE of a config.json. Raises UnsupportedError for a scaling that llama.cpp cannot do."""
    section = config.section("rope_parameters" if "rope_parameters" in config else "rope_scaling")
    theta = section.number("rope_theta", config.number("rope_theta", default_theta))
    rotated = section.number("partial_rotary_factor", config.number("partial_rotary_factor", 1.0))
    if rotated != 1.0:
        raise UnsupportedError(
            f"partial_rotary_factor is {rotated:g}: this family is supported with full rotation only"
        )
    kind = section.text("rope_type", section.text("type", "default"))
    if kind == "default":
        return Rope(theta)
    context = config.integer("max_position_embeddings")
    original = config.integer(
        "original_max_position_embeddings", section.integer("original_max_position_embeddings", context)
    )
    if kind == "linear":
        return Rope(theta, "linear", section.number("factor"))
    if kind == "llama3":
        return _llama3(section, theta, original)
    if kind == "yarn":
        return _yarn(section, theta, original, context)
    raise UnsupportedError(
        f"the RoPE scaling {kind[:40]!r} is not supported", hint="supported: default, linear, llama3 and yarn"
    )


def _llama3(section: Config, theta: float, original: int) -> Rope:
    low, high = section.number("low_freq_factor", 1.0), section.number("high_freq_factor", 4.0)
    if low >= high:
        raise CheckpointError(f"low_freq_factor ({low:g}) must be below high_freq_factor ({high:g}) in config.json")
    return Rope(
        theta,
        "llama3",
        section.number("factor", 8.0),
        original,
        low_freq_factor=low,
        high_freq_factor=high,
    )


def _yarn(section: Config, theta: float, original: int, context: int) -> Rope:
    if not section.flag("truncate", True):
        raise UnsupportedError("YaRN without truncation of its range is not something that llama.cpp can do")
    for key, usual in _YARN_BETAS.items():
        if section.number(key, usual) != usual:
            raise UnsupportedError(f"YaRN with {key} {section.number(key):g}: llama.cpp computes with {usual:g} only")
    factor = section.number("factor", context / original)
    explicit = section.number("attention_factor") if "attention_factor" in section else None
    if explicit is None and "attn_factor" in section:
        explicit = section.number("attn_factor")
    attention = explicit
    if attention is None and "mscale" in section and "mscale_all_dim" in section:
        attention = _mscale(factor, section.number("mscale")) / _mscale(factor, section.number("mscale_all_dim"))
    return Rope(
        theta,
        "yarn",
        factor,
        original,
        attention_factor=attention,
        explicit_attention_factor=explicit,
        beta_fast=section.number("beta_fast") if "beta_fast" in section else None,
        beta_slow=section.number("beta_slow") if "beta_slow" in section else None,
    )


def _mscale(factor: float, weight: float = 1.0) -> float:
    """YaRN's temperature for a context that is ``factor`` times longer."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def yarn_temperature(rope: Rope) -> float:
    """What YaRN multiplies cos and sin by: the value of config.json, or the paper's."""
    return _mscale(rope.factor) if rope.attention_factor is None else rope.attention_factor


def attention_correction(rope: Rope) -> float | None:
    """``rope.scaling.attn_factor``: what brings llama.cpp's own YaRN temperature to ``attention_factor``.

    llama.cpp always starts from the paper's temperature and multiplies it by this key; it does not use
    ``rope.scaling.yarn_attn_factor``. None when config.json leaves the temperature at the paper's value.
    """
    if rope.kind != "yarn" or rope.attention_factor is None:
        return None
    correction = rope.attention_factor / _mscale(rope.factor)
    return None if abs(correction - 1.0) < 1e-6 else correction


def llama3_factors(rope: Rope, head_dim: int) -> tuple[float, ...]:
    """``rope_freqs.weight``: what each of the head_dim / 2 frequencies is divided by, as float32 numbers.

    The arithmetic is done in float32 where convert_hf_to_gguf.py does, so that the result has the same bits.
    """
    import numpy as np

    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = np.float32(1.0) / np.power(np.float32(rope.theta), exponents, dtype=np.float32)
    low_wavelength = rope.original_context / rope.low_freq_factor
    high_wavelength = rope.original_context / rope.high_freq_factor
    factors = []
    for frequency in frequencies:
        wavelength = np.float32(2 * math.pi) / frequency
        if wavelength < high_wavelength:
            factors.append(1.0)
        elif wavelength > low_wavelength:
            factors.append(rope.factor)
        else:
            ratio = np.float32(rope.original_context) / wavelength
            smooth = (ratio - np.float32(rope.low_freq_factor)) / np.float32(
                rope.high_freq_factor - rope.low_freq_factor
            )
            scaled = (np.float32(1.0) - smooth) / np.float32(rope.factor) + smooth
            factors.append(float(np.float32(1.0) / scaled))
    return tuple(float(np.float32(factor)) for factor in factors)
