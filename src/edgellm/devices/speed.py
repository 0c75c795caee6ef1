"""How fast a model decodes and reads prompts on a device, as ranges with their basis.

Decode: t = max(weights read / bandwidth, 2 * weights / compute) + KV read / bandwidth + a small cost per layer.
Prefill: 2 * weights per prompt token against the compute figure of the profile. Where the profile has no figure there
is no prediction: None. A machine that was calibrated is predicted from what was measured there instead; see
measured_speed.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from edgellm.devices.measured_speed import measured_decode, measured_prefill
from edgellm.devices.memory import kv_bytes
from edgellm.devices.model import ModelShape
from edgellm.devices.prediction import SpeedRange
from edgellm.devices.profile import Accelerator, Figure, Profile
from edgellm.devices.repack import repacked_tensors
from edgellm.devices.settings import RunSettings
from edgellm.devices.work import active_share, decoded_tensors, prompt_tensors

__all__ = ["SpeedRange", "predict_decode", "predict_prefill"]

SHORT_TOKENS = 512  # what lies in the KV cache when speed is quoted
# Decode reads weights at 0.8 to 1.3 times what a copy benchmark reports: the ratio on the boards that have both figures
# (Raspberry Pi 5: 0.8-1.0, RK3588: 1.1-1.3). Used where only the copy benchmark is known.
_COPY_RATIO = (0.8, 1.3)
_LAYER_SECONDS = (10e-6, 60e-6)  # start and end of the threads' common work, per layer: fast and slow cores


class _Ends(NamedTuple):
    """The low and the high end of a figure."""

    low: float
    high: float


def predict_decode(
    shape: ModelShape,
    settings: RunSettings,
    profile: Profile,
    *,
    users: int = 1,
    filled: int = SHORT_TOKENS,
    accelerator: Accelerator | None = None,
) -> SpeedRange | None:
    """Tokens per second of each of ``users`` that decode together, with ``filled`` tokens in each one's cache; None for
    an encoder, and where nothing is known.

    Weights are read once per step for all of them; arithmetic and KV reads grow with their number.
    """
    if shape.is_encoder:
        return None  # nothing is decoded
    measured = profile.perf.measured
    if measured is not None and accelerator is None:
        return measured_decode(shape, settings, profile.cpu.features, measured, users=users, filled=filled)
    bandwidth, basis = _decode_bandwidth(profile, accelerator)
    compute = _decode_compute(profile, accelerator, users)
    if bandwidth is None:
        return None
    weights, cache = read_bytes(shape, users), users * _kv_read_bytes(shape, settings, filled)
    work = 2 * users * decode_weights(shape)

    def speed(gb_s: float, gops: float | None, layer_seconds: float) -> float:
        reading, computing = weights / (gb_s * 1e9), work / (gops * 1e9) if gops else 0.0
        return _three_digits(1 / (max(reading, computing) + cache / (gb_s * 1e9) + len(shape.layers) * layer_seconds))

    low = speed(bandwidth.low, compute.minimum if compute else None, _LAYER_SECONDS[1])
    if users > 1 and compute is None:  # how much arithmetic costs is unknown: at worst one user after the other
        alone = predict_decode(shape, settings, profile, filled=filled, accelerator=accelerator)
        low = min(low, _three_digits(alone.low / users)) if alone is not None else low
    high = speed(bandwidth.high, compute.maximum if compute else None, _LAYER_SECONDS[0])
    return SpeedRange(low=low, high=high, basis=basis)


def predict_prefill(
    shape: ModelShape, settings: RunSettings, profile: Profile, *, accelerator: Accelerator | None = None
) -> SpeedRange | None:
    """Prompt tokens per second of a prompt of about 512 tokens; long ones are slower (x 0.6 to 0.8 at 4096)."""
    measured = profile.perf.measured
    if measured is not None and accelerator is None:
        return measured_prefill(shape, settings, profile.cpu.features, measured, tokens=SHORT_TOKENS)
    plain, repacked = profile.perf.prefill_gops, profile.perf.prefill_gops_repacked
    share = 0.0
    if accelerator is not None:
        plain, repacked = accelerator.prefill_gops, None
    if repacked is not None and settings.repack:
        share = _repacked_share(shape, profile)
    slow, fast = plain or repacked, repacked or plain
    if slow is None or fast is None or (plain is None and share < 0.5):
        return None
    work = 2e-9 * max(1, prefill_weights(shape))
    low = 1 / (work * ((1 - share) / slow.minimum + share / fast.minimum))
    high = 1 / (work * ((1 - share) / slow.maximum + share / fast.maximum))
    figure = fast if share > 0.5 else slow
    basis = f"{_text(figure)} GOPS ({figure.source}); confidence {profile.perf.confidence}"
    return SpeedRange(low=_three_digits(low), high=_three_digits(high), basis=basis)


def read_bytes(shape: ModelShape, users: int = 1) -> int:
    """Bytes of weights that one step reads: everything but looked-up embeddings and idle experts."""
    return round(sum(t.size_bytes * active_share(shape, t.name, users) for t in decoded_tensors(shape)))


def decode_weights(shape: ModelShape) -> int:
    """Weights that take part in one decoded token, the output matrix included."""
    return round(sum(t.n_elements * active_share(shape, t.name) for t in decoded_tensors(shape)))


def prefill_weights(shape: ModelShape) -> int:
    """Weights that take part in one prompt token: neither embedding nor output matrix."""
    return round(sum(t.n_elements * active_share(shape, t.name) for t in prompt_tensors(shape)))


def _kv_read_bytes(shape: ModelShape, settings: RunSettings, filled: int) -> int:
    tokens = max(1, min(filled, settings.context))
    one = msgspec.structs.replace(settings, context=tokens, sequences=1)
    padded = -(-tokens // 256) * 256
    return kv_bytes(shape, one) * tokens // padded


def _repacked_share(shape: ModelShape, profile: Profile) -> float:
    total = sum(tensor.n_elements for tensor in shape.tensors if tensor.name.startswith("blk."))
    copied = sum(t.n_elements for t in repacked_tensors(shape, profile.cpu.features) if t.name.startswith("blk."))
    return copied / total if total else 0.0


def _decode_bandwidth(profile: Profile, accelerator: Accelerator | None) -> tuple[_Ends | None, str]:
    theoretical, measured = profile.memory.bandwidth_theoretical_gb_s, profile.memory.bandwidth_measured_gb_s
    efficiency = accelerator.decode_efficiency if accelerator is not None else profile.perf.decode_efficiency
    sure = f"confidence {profile.perf.confidence}"
    if theoretical is not None and efficiency is not None:
        where = f"{accelerator.name}, " if accelerator is not None else ""
        basis = f"{where}{_text(efficiency)} of {_text(theoretical)} GB/s ({efficiency.source}); {sure}"
        return _Ends(efficiency.minimum * theoretical.minimum, efficiency.maximum * theoretical.maximum), basis
    if measured is not None and accelerator is None:
        basis = f"{_COPY_RATIO[0]}-{_COPY_RATIO[1]} of {_text(measured)} GB/s copied ({measured.source}); {sure}"
        return _Ends(_COPY_RATIO[0] * measured.minimum, _COPY_RATIO[1] * measured.maximum), basis
    return None, ""


def _decode_compute(profile: Profile, accelerator: Accelerator | None, users: int) -> Figure | None:
    if accelerator is not None:
        return accelerator.prefill_gops
    if profile.perf.decode_gops is not None:
        return profile.perf.decode_gops
    return (profile.perf.prefill_gops or profile.perf.prefill_gops_repacked) if users > 1 else None


def _text(figure: Figure) -> str:
    if figure.value is not None or figure.low == figure.high:
        return f"{figure.minimum:g}"
    return f"{figure.low:g}-{figure.high:g}"


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
