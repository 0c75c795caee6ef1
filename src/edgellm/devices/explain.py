"""The words that go with a choice, or with the refusal to make one."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgellm.devices.choice import FitRequest, FitRow
from edgellm.devices.memory import os_reserve_bytes
from edgellm.devices.model import ModelShape
from edgellm.devices.profile import Memory, Profile
from edgellm.devices.repack import row_multiples
from edgellm.devices.speed import SpeedRange
from edgellm.errors import DoesNotFitError
from edgellm.units import format_bytes, format_count, parse_bytes

__all__ = ["explain_choice", "explain_misfit", "format_speed"]


def format_speed(speed: SpeedRange | None) -> str:
    """``4.6-5.6 tokens/s``, or ``speed unknown``."""
    if speed is None:
        return "speed unknown"
    return f"{speed.low:g} tokens/s" if speed.low == speed.high else f"{speed.low:g}-{speed.high:g} tokens/s"


def explain_choice(shape: ModelShape, profile: Profile, row: FitRow, request: FitRequest) -> str:
    """One paragraph: why this recipe, context and number of sequences."""
    memory, settings, given = row.estimate.memory, row.settings, request.recipe is not None
    size = format_bytes(profile.memory.size_bytes)
    parts = [f"{row.recipe} {'as asked' if given else 'chosen'} for {profile.name} ({size}):"]
    room = f"{settings.context} tokens of context for {_sequences(settings.sequences)}"
    if shape.is_encoder:
        room = f"texts of up to {settings.context} tokens"
    parts.append(
        f"{format_count(shape.n_parameters)} weights take {format_bytes(memory.total_bytes)} with {room}, of "
        f"{format_bytes(row.estimate.memory_available_bytes)} that the system leaves"
        + (" (tight)." if row.verdict == "tight" else ".")
    )
    if shape.is_encoder:
        parts.append("It is an encoder: it turns texts into vectors.")
        if row.estimate.prefill is not None:
            parts.append(f"Expected speed: {format_speed(row.estimate.prefill)} of texts.")
        if not given:
            parts.append("It is the best quality of the quantized recipes that fit.")
    elif not given:
        parts.append(_speed_reason(profile, row, request))
    elif row.decode is not None:
        parts.append(f"Expected decode: {format_speed(row.decode)}.")
    if shape.format == "onnx":
        parts.append(
            f"ONNX Runtime keeps a rearranged copy of the weights ({format_bytes(memory.repack_bytes)} more) for its "
            "kernels."
        )
        if settings.kv_type_k == "int8":
            parts.append(
                "The KV cache is int8, as the profile asks: a quarter of the memory, but long prompts are read more "
                "slowly."
            )
    elif memory.repack_bytes:
        kept = "a second, rearranged copy" if settings.mmap else "only the rearranged form"
        parts.append(f"llama.cpp keeps {kept} of the weights ({format_bytes(memory.repack_bytes)}) for faster prompts.")
    elif not settings.repack and profile.policy.repack and row_multiples(profile.cpu.features):
        parts.append("Repacking is off: the second copy of the weights would not fit, so prompts are read more slowly.")
    if settings.sequences > 1 and row.decode_per_user is not None:
        parts.append(f"{settings.sequences} users at once get {format_speed(row.decode_per_user)} each.")
    return " ".join(parts)


def explain_misfit(
    candidates: Mapping[str, ModelShape], profile: Profile, smallest: FitRow, *, fixed_recipe: bool
) -> DoesNotFitError:
    """The error for a model that is too big, with the numbers and what would fit."""
    memory, settings = smallest.estimate.memory, smallest.settings
    message = (
        f"the model needs {format_bytes(memory.total_bytes)} "
        f"({format_bytes(memory.weights_bytes + memory.repack_bytes)} weights as {smallest.recipe}, "
        f"{format_bytes(memory.kv_bytes)} KV cache for {settings.context * settings.sequences} tokens, "
        f"{format_bytes(memory.compute_bytes + memory.overhead_bytes)} to run); {profile.name} with "
        f"{format_bytes(profile.memory.size_bytes)} has {format_bytes(smallest.estimate.memory_available_bytes)} "
        f"beside the {format_bytes(memory.reserve_bytes)} of the system"
    )
    hints = []
    room = smallest.estimate.memory_available_bytes - (memory.total_bytes - memory.kv_bytes)
    if memory.kv_bytes and room > 0:
        tokens = int(settings.context * room / memory.kv_bytes) // 256 * 256
        if tokens >= 256:
            hints.append(f"--context {tokens}")
    if settings.sequences > 1:
        hints.append("--sequences 1")
    if fixed_recipe and len(candidates) > 1:
        hints.append("--quant auto")
    hints.append(_bigger(profile, memory.total_bytes))
    return DoesNotFitError(message, hint="try " + ", or ".join(hints))


def _speed_reason(profile: Profile, row: FitRow, request: FitRequest) -> str:
    expected = row.decode if request.sequences is None else row.decode_per_user
    min_speed, each = request.min_speed, " each" if (request.sequences or 1) > 1 else ""
    if expected is None:
        return f"No published speed for {profile.name}, so the choice is the usual balance of size and quality."
    speed = format_speed(expected) + each
    liked = " that this processor runs fast" if row.recipe in profile.policy.preferred else ""
    if expected.middle >= min_speed:
        return f"It is the best quality{liked} with an expected decode of {speed} (minimum {min_speed:g})."
    return (
        f"No recipe reaches {min_speed:g} tokens/s here; this is the best quality among the fastest{liked}, "
        f"with an expected {speed}."
    )


def _bigger(profile: Profile, total_bytes: int) -> str:
    for size in sorted(profile.memory.sizes, key=parse_bytes):
        if _fits_with(profile.memory, size, total_bytes):
            return f"--memory {size} if yours has it"
    needed = next((n for n in range(1, 1025) if _fits_with(profile.memory, f"{n}GiB", total_bytes)), None)
    if needed is None:
        return "a smaller model"
    return f"a device with {needed} GiB of memory, or a smaller model"


def _fits_with(memory: Memory, size: str, total_bytes: int) -> bool:
    other = msgspec.structs.replace(memory, default_size=size)
    return other.size_bytes - os_reserve_bytes(other) >= total_bytes


def _sequences(count: int) -> str:
    return "one sequence" if count == 1 else f"each of {count} sequences"
