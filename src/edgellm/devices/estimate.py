"""What one way of running a model on one device takes, and how fast it is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from edgellm.devices.memory import PredictedMemory, predict_memory
from edgellm.devices.model import ModelShape
from edgellm.devices.profile import Accelerator, Profile
from edgellm.devices.settings import RunSettings
from edgellm.devices.speed import SHORT_TOKENS, SpeedRange, predict_decode, predict_prefill

__all__ = ["Estimate", "Verdict", "estimate", "verdict_of"]

Verdict = Literal["fits", "tight", "does not fit"]
_TIGHT_SHARE = 0.9  # of what the reserve leaves; above it small errors of the prediction matter


class Estimate(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prediction for one model, one device, one way to run it."""

    memory: PredictedMemory
    memory_available_bytes: int  # RAM of the device less the reserve
    verdict: Verdict
    decode: SpeedRange | None  # of one user alone
    decode_per_user: SpeedRange | None  # of each, when all sequences decode together
    prefill: SpeedRange | None
    notes: tuple[str, ...] = ()
    is_encoder: bool = False  # decodes nothing


def estimate(
    shape: ModelShape, profile: Profile, settings: RunSettings, *, accelerators: Collection[str] = ()
) -> Estimate:
    """Predict memory and speed of ``shape`` on ``profile`` under ``settings``.

    ``accelerators`` are the kinds ("cuda", "metal", ...) that the installed runtime was built for.
    """
    memory = predict_memory(shape, settings, profile.cpu.features, profile.memory)
    available = max(0, profile.memory.size_bytes - memory.reserve_bytes)
    accelerator, notes = _accelerator(profile, accelerators)
    notes += list(shape.notes)
    decode = predict_decode(shape, settings, profile, accelerator=accelerator)
    per_user = decode
    if settings.sequences > 1:
        per_user = predict_decode(shape, settings, profile, users=settings.sequences, accelerator=accelerator)
    prefill = predict_prefill(shape, settings, profile, accelerator=accelerator)
    if shape.is_encoder:
        if prefill is None:
            notes.append(f"no published speed for {profile.name}: speed unknown")
    elif decode is None:
        where = f" with {accelerator.name}" if accelerator is not None else ""
        notes.append(f"no published speed for {profile.name}{where}: speed unknown")
    elif settings.context > 2 * SHORT_TOKENS:
        full = predict_decode(shape, settings, profile, filled=settings.context, accelerator=accelerator)
        if full is not None and full.middle < 0.85 * decode.middle:
            notes.append(f"{full.low:g}-{full.high:g} tokens/s once {settings.context} tokens are in the context")
    return Estimate(
        memory=memory,
        memory_available_bytes=available,
        verdict=verdict_of(memory.total_bytes, available),
        decode=decode,
        decode_per_user=per_user,
        prefill=prefill,
        notes=tuple(notes),
        is_encoder=shape.is_encoder,
    )


def verdict_of(total_bytes: int, available_bytes: int) -> Verdict:
    """``tight`` is the last tenth of what is available."""
    if total_bytes > available_bytes:
        return "does not fit"
    return "tight" if total_bytes > _TIGHT_SHARE * available_bytes else "fits"


def _accelerator(profile: Profile, accelerators: Collection[str]) -> tuple[Accelerator | None, list[str]]:
    found = profile.accelerator
    if found is None:
        return None, []
    if found.kind in accelerators:
        return found, []
    return None, [f"CPU only: this runtime has no {found.kind.upper()}; build it with {found.build_flag}"]
