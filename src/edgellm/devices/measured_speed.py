"""Speed on a machine that was calibrated: the measured time of every matrix of the model, and what lies between them.

A step of one token takes the sum of 2 x weights / decode speed of their type, a time for each value that goes into or
comes out of a matrix, and attention over what is in the cache. A prompt takes the same for each of its tokens, with
other speeds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from edgellm.devices.measured import KernelSpeed, Measured
from edgellm.devices.model import ModelShape, TensorShape
from edgellm.devices.prediction import SpeedRange
from edgellm.devices.repack import repacked_tensors
from edgellm.devices.settings import RunSettings
from edgellm.devices.work import active_share, decoded_tensors, prompt_tensors
from edgellm.formats.ggml_types import TYPES

__all__ = ["measured_decode", "measured_prefill", "range_half"]

# How far the sum lay from whole models that were measured beside it (tests/benchmarks/fit.py). No range is narrower
# than what a machine's speed varies from one hour to the next, which the minutes of a calibration do not show. The
# widest range is that of models with parts that were not measured, for which another type stood, and of unsteady
# machines.
_MODEL_ERROR = 0.12
_NARROWEST = 0.20
_WIDEST = 0.40
_SMALL_SHARE = 0.05  # of the weights: too little to matter


class _Sum(NamedTuple):
    seconds: float  # of the matrices
    value_seconds: float  # of the rows that go into and come out of them
    stand_ins: tuple[str, ...]  # types that were not measured


def measured_decode(
    shape: ModelShape,
    settings: RunSettings,
    features: Collection[str],
    measured: Measured,
    *,
    users: int,
    filled: int,
) -> SpeedRange:
    """Tokens per second of each of ``users`` that decode together, with ``filled`` tokens in each one's cache."""
    tensors = decoded_tensors(shape)
    single = _matrix_seconds(shape, settings, features, measured, tensors, "decode")
    tokens = max(1, min(filled, settings.context))
    values = single.value_seconds
    attention = _attention(shape, tokens, 1) / (measured.decode_attention_gops * 1e9)
    alone = single.seconds + values + attention
    if users == 1:
        return _range(1 / alone, measured, shape, settings, single.stand_ins)
    # Several rows at once were not measured: at best they cost what rows of a prompt do, at worst a step each.
    rows = _matrix_seconds(shape, settings, features, measured, tensors, "prefill")
    together = max(single.seconds, users * rows.seconds) + values + users * attention
    best = _range(1 / together, measured, shape, settings, single.stand_ins)
    worst = _range(1 / (users * alone), measured, shape, settings, single.stand_ins)
    return SpeedRange(low=min(best.low, worst.low), high=max(best.high, worst.high), basis=best.basis)


def measured_prefill(
    shape: ModelShape, settings: RunSettings, features: Collection[str], measured: Measured, *, tokens: int
) -> SpeedRange:
    """Prompt tokens per second of a prompt of ``tokens`` tokens into an empty cache."""
    tensors = _computed_for_all(shape)
    matrices = _matrix_seconds(shape, settings, features, measured, tensors, "prefill")
    attention = _attention(shape, tokens / 2, tokens) / (measured.prefill_attention_gops * 1e9)
    seconds = tokens * (matrices.seconds + matrices.value_seconds) + attention
    return _range(tokens / seconds, measured, shape, settings, matrices.stand_ins)


def range_half(measured: Measured) -> float:
    """Half the width of a predicted range, as a share, where every type in the model was measured."""
    return min(_WIDEST, max(_NARROWEST, _MODEL_ERROR + measured.spread))


def _computed_for_all(shape: ModelShape) -> list[TensorShape]:
    """Of the last layer's feed-forward only the rows whose logits are wanted are computed."""
    last = f"blk.{len(shape.layers) - 1}.ffn_"
    return [tensor for tensor in prompt_tensors(shape) if not tensor.name.startswith(last)]


def _matrix_seconds(
    shape: ModelShape,
    settings: RunSettings,
    features: Collection[str],
    measured: Measured,
    tensors: Iterable[TensorShape],
    step: str,
) -> _Sum:
    """Times of one row through ``tensors``, in a step of one row ("decode") or of many ("prefill")."""
    copied = {tensor.name for tensor in repacked_tensors(shape, features)} if settings.repack else set()
    seconds, value_seconds, total = 0.0, 0.0, 0.0
    strange: dict[str, float] = {}
    for tensor in tensors:
        if len(tensor.shape) < 2:
            continue
        share, repacked = active_share(shape, tensor.name), tensor.name in copied
        work = 2 * tensor.n_elements * share
        kernel, is_exact = _kernel(measured, tensor, repacked)
        wider = max(1.0, _bits_of(tensor) / _bits(kernel.type))  # as F32 is, where F16 stands for it
        seconds += wider * work / (1e9 * (kernel.decode_gops if step == "decode" else kernel.prefill_gops))
        value = measured.value_seconds(decode=step == "decode", repacked=repacked)
        value_seconds += (tensor.shape[0] + tensor.shape[1]) * share * value
        total += work
        if not is_exact or "_exps" in tensor.name:
            strange[tensor.type] = strange.get(tensor.type, 0.0) + work
    matters = sum(strange.values()) > _SMALL_SHARE * total
    return _Sum(seconds, value_seconds, tuple(sorted(strange)) if matters else ())


def _kernel(measured: Measured, tensor: TensorShape, repacked: bool) -> tuple[KernelSpeed, bool]:
    """The measured speed of a tensor's type; else that of the type with the most similar number of bits, and False."""
    found = measured.kernel(tensor.type, repacked)
    if found is not None:
        return found, True
    bits = _bits_of(tensor)
    nearest = min(measured.kernels, key=lambda k: (abs(_bits(k.type) - bits), k.repacked != repacked))
    return nearest, False


def _bits_of(tensor: TensorShape) -> float:
    return _bits(tensor.type) if tensor.type in TYPES else 8 * tensor.size_bytes / max(1, tensor.n_elements)


def _bits(type_name: str) -> float:
    kind = TYPES.get(type_name)
    return 8 * kind.block_bytes / kind.block_size if kind is not None else 8.0


def _attention(shape: ModelShape, seen: float, rows: int) -> float:
    """Operations of ``rows`` tokens that look at ``seen`` tokens each, in all layers."""
    return sum(
        2.0 * rows * min(seen, layer.window or seen) * shape.n_heads * (layer.key_length + layer.value_length)
        for layer in shape.layers
    )


def _range(
    speed: float, measured: Measured, shape: ModelShape, settings: RunSettings, stand_ins: tuple[str, ...]
) -> SpeedRange:
    unusual = shape.state_bytes > 0 or not settings.flash_attention
    unusual = unusual or (settings.kv_type_k, settings.kv_type_v) != ("f16", "f16")
    half = range_half(measured)
    basis = f"{measured.source}; +-{half:.0%}: rounds lay +-{measured.spread:.0%} apart"
    if stand_ins or unusual:
        half = _WIDEST
        what = f"{', '.join(stand_ins)} counted as similar types" if stand_ins else "attention of this kind was not"
        basis = f"{measured.source}; {what}: +-{half:.0%}"
    return SpeedRange(low=_three_digits(speed * (1 - half)), high=_three_digits(speed * (1 + half)), basis=basis)


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
