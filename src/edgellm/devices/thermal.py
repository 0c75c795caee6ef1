"""Heat and clocks as the kernel shows them: thermal zones, hwmon, cooling devices, cpufreq. Read below ``root``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from edgellm.devices.cgroup import read_text

__all__ = ["Clocks", "clocks", "cpu_temperature_c", "heat_throttle_count", "is_cooling", "under_voltage_alarm"]

_ENTRIES_LIMIT = 1024
_PLAUSIBLE_C = (-40.0, 125.0)
# Names of thermal zones, the most telling first: one of the CPU, one of the chip that it sits on, the board's.
_ZONES = (
    re.compile(r"x86_pkg_temp|tcpu|b0d4|.*cpu.*|.*(big|little|center|gold|prime|silver)[-_]?core.*|cluster.*"),
    re.compile(r"(soc|package|chip|tj|ap|top)([-_ ]?thermal|[-_ ]?therm)?([-_]?zone)?"),
    re.compile(r"acpitz"),
)
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal")  # names of hwmon drivers


class Clocks(NamedTuple):
    """Clocks of the fastest cluster in MHz; None where the system does not say."""

    now_mhz: int | None
    limit_mhz: int | None  # what the governor may use at the moment
    highest_mhz: int | None  # what the processor can do


def cpu_temperature_c(root: Path) -> tuple[float, str] | None:
    """The processor's temperature in degrees Celsius and where it was read; the hottest of equally good sensors."""
    zones = [
        (read_text(folder / "type").lower(), _degrees(folder / "temp"), folder.name)
        for folder in _entries(root / "sys/class/thermal", "thermal_zone*")
    ]
    for pattern in _ZONES:
        found = [(value, name) for kind, value, name in zones if value is not None and pattern.fullmatch(kind)]
        if found:
            value, name = max(found)
            return value, f"/sys/class/thermal/{name}"
        if pattern is _ZONES[1]:  # a sensor inside the processor tells more than one on the board
            inside = _hwmon_temperature(root)
            if inside is not None:
                return inside
    return None


def is_cooling(root: Path) -> bool | None:
    """True while the kernel holds the processor's clock down because of heat; None where it has no such control."""
    states = [
        read_text(folder / "cur_state")
        for folder in _entries(root / "sys/class/thermal", "cooling_device*")
        if re.search(r"cpufreq|^processor$", read_text(folder / "type").lower())
    ]
    known = [int(state) for state in states if re.fullmatch(r"\d{1,6}", state)]
    return any(known) if known else None


def heat_throttle_count(root: Path) -> int | None:
    """How often x86 cores or packages slowed down from heat since boot; None where nobody counts."""
    counts = [
        read_text(folder / "thermal_throttle" / f"{part}_throttle_count")
        for folder in _entries(root / "sys/devices/system/cpu", "cpu[0-9]*")
        for part in ("core", "package")
    ]
    known = [int(count) for count in counts if re.fullmatch(r"\d{1,18}", count)]
    return max(known) if known else None


def under_voltage_alarm(root: Path) -> bool | None:
    """The Raspberry Pi kernel driver's alarm for a supply below 4.63 V; None without that driver."""
    for folder in _entries(root / "sys/class/hwmon", "hwmon*"):
        alarm = read_text(folder / "in0_lcrit_alarm")
        if read_text(folder / "name") == "rpi_volt" and alarm in ("0", "1"):
            return alarm == "1"
    return None


def clocks(root: Path) -> Clocks:
    """The clocks of the cluster that can go highest, from cpufreq."""
    folders = list(_entries(root / "sys/devices/system/cpu/cpufreq", "policy*"))
    folders = folders or [cpu / "cpufreq" for cpu in _entries(root / "sys/devices/system/cpu", "cpu[0-9]*")]
    names = ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq")
    found = [Clocks(*(_mhz(folder / name) for name in names)) for folder in folders]
    return max(found, key=lambda clock: clock.highest_mhz or 0, default=Clocks(None, None, None))


def _hwmon_temperature(root: Path) -> tuple[float, str] | None:
    for folder in _entries(root / "sys/class/hwmon", "hwmon*"):
        name = read_text(folder / "name")
        value = _degrees(folder / "temp1_input")
        if name in _CPU_SENSORS and value is not None:
            return value, f"/sys/class/hwmon/{folder.name} ({name})"
    return None


def _entries(folder: Path, pattern: str) -> Iterator[Path]:
    try:
        yield from sorted(islice(folder.glob(pattern), _ENTRIES_LIMIT))
    except OSError:
        return


def _degrees(path: Path) -> float | None:
    """A temperature in thousandths of a degree. Exactly 0 is what a sensor without power says."""
    text = read_text(path)
    if not re.fullmatch(r"-?\d{1,9}", text) or int(text) == 0:
        return None
    value = int(text) / 1000
    return value if _PLAUSIBLE_C[0] <= value <= _PLAUSIBLE_C[1] else None


def _mhz(path: Path) -> int | None:
    text = read_text(path)
    value = int(text) // 1000 if re.fullmatch(r"\d{1,9}", text) else 0
    return value if 10 <= value <= 20000 else None
