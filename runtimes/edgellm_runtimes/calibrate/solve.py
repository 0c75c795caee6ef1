"""From times of whole small models to the speed of their parts.

A decode step takes 2 x weights / speed of the type + row values x a fixed time + attention; a prompt takes the same for
each of its tokens, with other speeds. Row values are what goes into and comes out of the matrices: norms, activations,
residuals, and the start of each matrix, which small ones pay as often as large ones. Two models of one type, wide and
narrow, give the fixed times; a longer context gives attention; with them every further type needs one model.
"""

from __future__ import annotations

import msgspec

from edgellm.devices.calibration import KernelSpeed
from edgellm_runtimes.calibrate.synthetic import N_TOKENS, Shape
from edgellm_runtimes.calibrate.timing import PROMPT_TOKENS, SHALLOW_TOKENS, Timing

__all__ = ["Reference", "kernel_speed", "solve_reference", "solve_values"]

_LEAST_SHARE = 0.05  # a part never counts as less of a step: noise must not make it free, or the rest negative


class Reference(msgspec.Struct, frozen=True):
    """What does not depend on the type of the weights; the fields are those of Measured."""

    decode_value_seconds: float
    decode_attention_gops: float
    prefill_attention_gops: float
    prefill_value_seconds: float


def solve_reference(wide: Shape, wide_timing: Timing, narrow: Shape, narrow_timing: Timing) -> Reference:
    """The fixed times, from two models of the same type; ``wide_timing`` is a deep one."""
    decode_more = max(wide_timing.deep_decode_s - wide_timing.decode_s, 1e-3 * wide_timing.decode_s)
    decode_attention = _attention(wide, 1, 2 * PROMPT_TOKENS - SHALLOW_TOKENS) / decode_more
    prefill_more = max(wide_timing.deep_prefill_s - wide_timing.prefill_s, 1e-3 * wide_timing.prefill_s)
    prefill_attention = _attention(wide, PROMPT_TOKENS, PROMPT_TOKENS) / prefill_more

    rest = Reference(0.0, decode_attention / 1e9, prefill_attention / 1e9, 0.0)
    return solve_values(wide, wide_timing, narrow, narrow_timing, rest)


def solve_values(wide: Shape, wide_timing: Timing, narrow: Shape, narrow_timing: Timing, rest: Reference) -> Reference:
    """``rest`` with the fixed times of another pair of models of one type; attention stays."""

    def terms(shape: Shape, timing: Timing) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        decode_attention = _attention(shape, 1, SHALLOW_TOKENS) / (rest.decode_attention_gops * 1e9)
        prompt_attention = _prompt_attention(shape) / (rest.prefill_attention_gops * 1e9)
        return (
            (shape.n_weights, _decode_values(shape), _without(timing.decode_s, decode_attention)),
            (
                _prompt_weights(shape) * PROMPT_TOKENS,
                _prompt_values(shape) * PROMPT_TOKENS,
                _without(timing.prefill_s, prompt_attention),
            ),
        )

    (wide_decode, wide_prompt), (narrow_decode, narrow_prompt) = terms(wide, wide_timing), terms(narrow, narrow_timing)
    return msgspec.structs.replace(
        rest,
        decode_value_seconds=_second_term(wide_decode, narrow_decode),
        prefill_value_seconds=_second_term(wide_prompt, narrow_prompt),
    )


def kernel_speed(type_name: str, repacked: bool, shape: Shape, timing: Timing, reference: Reference) -> KernelSpeed:
    """The speed of one type, from a model of it and what is known of the rest of its step."""
    attention = _attention(shape, 1, SHALLOW_TOKENS) / (reference.decode_attention_gops * 1e9)
    decode_s = _without(timing.decode_s, attention + _decode_values(shape) * reference.decode_value_seconds)
    prompt_rest = _prompt_attention(shape) / (reference.prefill_attention_gops * 1e9)
    prompt_rest += PROMPT_TOKENS * _prompt_values(shape) * reference.prefill_value_seconds
    prefill_s = _without(timing.prefill_s, prompt_rest)
    return KernelSpeed(
        type=type_name,
        repacked=repacked,
        decode_gops=float(f"{2e-9 * shape.n_weights / decode_s:.4g}"),
        prefill_gops=float(f"{2e-9 * _prompt_weights(shape) * PROMPT_TOKENS / prefill_s:.4g}"),
    )


def _second_term(wide: tuple[float, float, float], narrow: tuple[float, float, float]) -> float:
    """y of a x + b y = t, given (a, b, t) twice; at least nothing, at most nearly all of the narrow model's time."""
    (a0, b0, t0), (a1, b1, t1) = wide, narrow
    y = (a0 * t1 - a1 * t0) / (a0 * b1 - a1 * b0)
    return min(max(y, 0.0), (1 - _LEAST_SHARE) * t1 / b1)


def _without(total: float, part: float) -> float:
    return max(total - part, _LEAST_SHARE * total)


def _attention(shape: Shape, rows: int, seen: float) -> float:
    return 4.0 * shape.n_heads * shape.head_size * shape.n_layers * rows * seen


def _prompt_attention(shape: Shape) -> float:
    """Each token sees half of the prompt on average."""
    return _attention(shape, PROMPT_TOKENS, PROMPT_TOKENS / 2)


def _prompt_weights(shape: Shape) -> float:
    """Of the last layer's feed-forward one row is computed, as of the output matrix: only its logits are wanted."""
    return shape.n_weights - N_TOKENS * shape.n_embd - 3 * shape.n_embd * shape.n_ff


def _decode_values(shape: Shape) -> float:
    """The output matrix included: for one token it is read as a whole."""
    return shape.n_values + shape.n_embd + N_TOKENS


def _prompt_values(shape: Shape) -> float:
    return shape.n_values - 3 * (shape.n_embd + shape.n_ff)
