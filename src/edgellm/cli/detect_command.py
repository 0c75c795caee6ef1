"""What `edgellm devices detect` does: say what this machine is and what that means."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_json, printable
from edgellm.cli.context import load_device, user_settings
from edgellm.cli.progress import MessagesOnly
from edgellm.progress import SilentProgress
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.devices.calibration import Calibration
    from edgellm.devices.detect import Detection
    from edgellm.devices.health import Health
    from edgellm.devices.profile import Profile

__all__ = ["detect"]

_UNKNOWN = "n/a"


def detect(*, measure: bool, as_json: bool, quiet: bool) -> None:
    """Print the machine, its profile and the reasons. Raises UnsupportedError, and what measuring raises."""
    from edgellm.devices.calibration import read_calibration
    from edgellm.devices.detect import detect_device
    from edgellm.devices.health import read_health

    settings = user_settings()
    found = detect_device(folder=settings.paths.store)
    health = read_health()
    if measure:
        from edgellm.cli.measure_command import measure_machine

        calibration: Calibration | None = measure_machine(settings, health, quiet=quiet)
    else:
        progress = SilentProgress() if quiet else MessagesOnly()
        calibration = read_calibration(settings.paths.state, progress=progress)
    profile = load_device(found.profile.id, None, settings).profile
    if as_json:
        print_json(_record(found, profile, health, calibration))
        return
    for label, text in _lines(found, profile, health, calibration):
        sys.stdout.write(printable(f"{label:<10} {text}".rstrip()) + "\n")


def _lines(
    found: Detection, profile: Profile, health: Health, calibration: Calibration | None
) -> list[tuple[str, str]]:
    """What a person reads, as label and text; a label of its own for the first of several lines."""
    named = f"{profile.id} ({profile.name})" if found.match else "local"
    lines = [("board", found.board.model or "unknown"), ("profile", named)]
    lines += [("", f"- {reason}") for reason in found.reasons]
    lines += [
        ("cores", _cores(found)),
        ("features", _features(found)),
        ("memory", _memory(found)),
        ("storage", _storage(found)),
        ("heat", _heat(health)),
        ("plan", _plan(profile)),
        ("speeds", _speeds(profile, calibration)),
    ]
    return lines


def _cores(found: Detection) -> str:
    clusters = found.local.cpu.clusters
    return " + ".join(
        f"{cluster.count} x {cluster.core}{f' at {cluster.mhz} MHz' if cluster.mhz else ''}" for cluster in clusters
    )


def _features(found: Detection) -> str:
    from edgellm.devices.features import notable_features, slow_because

    cpu = found.profile.cpu
    text = ", ".join(notable_features(cpu.arch, cpu.features)) or "none that llama.cpp has kernels for"
    slow = slow_because(cpu.arch, cpu.features)
    return f"{text} ({slow})" if slow else text


def _memory(found: Detection) -> str:
    from edgellm.devices.local import available_memory_bytes

    text = format_bytes(found.memory_total_bytes)
    if found.memory_limit_bytes is not None:
        text += f", limited to {format_bytes(found.memory_limit_bytes)}"
    free = available_memory_bytes()
    return text if free is None else f"{text}; {format_bytes(free)} available now"


def _storage(found: Detection) -> str:
    storage = found.storage
    parts = [storage.kind, storage.device, storage.model, storage.filesystem]
    text = ", ".join(dict.fromkeys(part for part in parts if part))
    text += "; read-only" if storage.read_only else ""
    return text + (f"; {storage.note}" if storage.note else "")


def _heat(health: Health) -> str:
    temperature = _UNKNOWN if health.temperature_c is None else f"{health.temperature_c:.0f} C"
    throttled = {None: _UNKNOWN, True: "yes, now", False: "no"}[health.throttled_now]
    if not health.throttled_now and health.throttled_since_boot:
        throttled = "not now, but since boot"
    text = f"{temperature}; throttled: {throttled}"
    if health.under_voltage_now or health.under_voltage_since_boot:
        text += f"; supply voltage too low {'now' if health.under_voltage_now else 'since boot'}"
    return text


def _plan(profile: Profile) -> str:
    from edgellm.devices.memory import os_reserve_bytes

    usable = max(0, profile.memory.size_bytes - os_reserve_bytes(profile.memory))
    threads = f"{profile.threads} thread{'s' if profile.threads > 1 else ''}"
    return f"{threads}, {format_bytes(usable)} for models beside the system"


def _speeds(profile: Profile, calibration: Calibration | None) -> str:
    from edgellm.devices.measured_speed import range_half

    if calibration is not None:
        half = range_half(calibration.measured)
        return f"measured here on {calibration.date}, {calibration.read_gb_s:.1f} GB/s; predicted within +-{half:.0%}"
    if profile.perf.decode_efficiency or profile.perf.decode_gops:
        return f"estimated for {profile.id}"
    accelerator = profile.accelerator
    if accelerator is not None and accelerator.decode_efficiency is not None:
        return f"estimated for {profile.id} with {accelerator.kind.upper()}, unknown without"
    return "unknown until they are measured: --measure"


def _record(found: Detection, profile: Profile, health: Health, calibration: Calibration | None) -> dict[str, Any]:
    from edgellm.devices.features import notable_features
    from edgellm.devices.local import available_memory_bytes
    from edgellm.devices.memory import os_reserve_bytes

    return {
        "profile": profile.id,
        "matched": found.match is not None,
        "reasons": found.reasons,
        "board": found.board,
        "clusters": found.local.cpu.clusters,
        "features": notable_features(profile.cpu.arch, profile.cpu.features),
        "memory_total_bytes": found.memory_total_bytes,
        "memory_limit_bytes": found.memory_limit_bytes,
        "memory_available_bytes": available_memory_bytes(),
        "memory_for_models_bytes": max(0, profile.memory.size_bytes - os_reserve_bytes(profile.memory)),
        "cpu_quota": found.cpu_quota,
        "threads": profile.threads,
        "storage": found.storage,
        "health": health,
        "calibration": calibration,
    }
