"""The gauges of a device as lines: a name, how full it is, and what it says."""

from __future__ import annotations

from typing import NamedTuple

from edgellm.api.watching import Gauges
from edgellm.devices.health import Health
from edgellm.tui.models.text import NOBODY_KNOWS, Tone
from edgellm.units import format_bytes

__all__ = ["GaugeRow", "core_rows", "gauge_rows", "health_rows"]

_TIGHT, _FULL = 0.85, 0.95
_WARM_C, _HOT_C = 70.0, 80.0  # a Raspberry Pi begins to slow down at 80 °C, most others later


class GaugeRow(NamedTuple):
    """``share``: how full, 0 to 1; None where that has no meaning or nobody can tell."""

    name: str
    share: float | None
    text: str
    tone: Tone = "plain"


def gauge_rows(gauges: Gauges) -> list[GaugeRow]:
    """Memory, swap, disk and load."""
    return [_memory(gauges), _swap(gauges), _disk(gauges), _load(gauges)]


def health_rows(health: Health) -> list[GaugeRow]:
    """Heat, throttling, supply voltage and clock."""
    heat = health.temperature_c
    return [
        GaugeRow("Heat", None, NOBODY_KNOWS if heat is None else f"{heat:.0f} °C", _heat_tone(heat)),
        _alarm("Throttled", health.throttled_now, health.throttled_since_boot),
        _alarm("Low voltage", health.under_voltage_now, health.under_voltage_since_boot),
        _clock(health),
    ]


def core_rows(gauges: Gauges) -> list[tuple[int, float]]:
    """Number and load (0 to 1) of each core; empty where nobody can tell."""
    return [(number, percent / 100) for number, percent in enumerate(gauges.cores_percent)]


def _memory(gauges: Gauges) -> GaugeRow:
    total, free = gauges.memory_total_bytes, gauges.memory_available_bytes
    limit = gauges.memory_limit_bytes
    if limit is not None and (total is None or limit < total):
        total = limit
    if total is None or free is None:
        return GaugeRow("Memory", None, NOBODY_KNOWS)
    free = min(free, total)
    share = 1 - free / total
    limited = " (a limit of its container)" if total == limit else ""
    text = f"{format_bytes(free)} of {format_bytes(total)} free{limited}"
    return GaugeRow("Memory", share, text, _fill_tone(share))


def _swap(gauges: Gauges) -> GaugeRow:
    total, used = gauges.swap_total_bytes, gauges.swap_used_bytes
    if total is None or used is None:
        return GaugeRow("Swap", None, NOBODY_KNOWS)
    if total == 0:
        return GaugeRow("Swap", None, "none", "quiet")
    return GaugeRow(
        "Swap", used / total, f"{format_bytes(used)} of {format_bytes(total)} used", _fill_tone(used / total)
    )


def _disk(gauges: Gauges) -> GaugeRow:
    total, free = gauges.disk_total_bytes, gauges.disk_free_bytes
    if not total or free is None:
        return GaugeRow("Disk", None, NOBODY_KNOWS)
    share = 1 - free / total
    return GaugeRow("Disk", share, f"{format_bytes(free)} of {format_bytes(total)} free", _fill_tone(share))


def _load(gauges: Gauges) -> GaugeRow:
    parts = [] if gauges.load_percent is None else [f"{gauges.load_percent:.0f} %"]
    if gauges.load_average is not None:
        parts.append("average " + " ".join(f"{value:.1f}" for value in gauges.load_average))
    share = None if gauges.load_percent is None else gauges.load_percent / 100
    return GaugeRow("Load", share, ", ".join(parts) or NOBODY_KNOWS)


def _alarm(name: str, now: bool | None, since_boot: bool | None) -> GaugeRow:
    if now is None and since_boot is None:
        return GaugeRow(name, None, NOBODY_KNOWS)
    if now:
        return GaugeRow(name, None, "yes", "bad")
    if since_boot:
        return GaugeRow(name, None, "not now, but since the start of the device", "warning")
    return GaugeRow(name, None, "no", "good")


def _clock(health: Health) -> GaugeRow:
    if health.clock_mhz is None:
        return GaugeRow("Clock", None, NOBODY_KNOWS)
    highest = health.clock_highest_mhz
    text = f"{health.clock_mhz} MHz" if highest is None else f"{health.clock_mhz} of {highest} MHz"
    if health.frequency_capped_now:
        return GaugeRow("Clock", None, f"{text}, held down by the firmware", "bad")
    return GaugeRow("Clock", None, text)


def _heat_tone(heat_c: float | None) -> Tone:
    if heat_c is None:
        return "plain"
    return "bad" if heat_c >= _HOT_C else "warning" if heat_c >= _WARM_C else "good"


def _fill_tone(share: float) -> Tone:
    return "bad" if share >= _FULL else "warning" if share >= _TIGHT else "good"
