"""How this machine is at the moment: temperature, throttling, supply voltage, clocks."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgellm.devices.thermal import clocks, cpu_temperature_c, heat_throttle_count, is_cooling, under_voltage_alarm

__all__ = ["Health", "RunTool", "read_health", "run_vcgencmd"]

RunTool = Callable[[str], str | None]  # what `vcgencmd ARGUMENT` prints; None when it is missing or fails

_TOOL_TIMEOUT_S = 2.0
# Bits of `vcgencmd get_throttled` (Raspberry Pi documentation, "vcgencmd"); the same 16 higher mean "since boot".
_UNDER_VOLTAGE, _FREQUENCY_CAPPED, _THROTTLED, _SOFT_LIMIT = 0, 1, 2, 3
_SINCE_BOOT = 16


class Health(msgspec.Struct, frozen=True):
    """The state of this machine; None = nobody here can tell.

    ``throttled`` is heat: the firmware's throttling or soft temperature limit, or the kernel's cooling at work.
    ``frequency_capped`` is the firmware's cap, which low voltage causes too.
    """

    temperature_c: float | None = None
    throttled_now: bool | None = None
    throttled_since_boot: bool | None = None
    under_voltage_now: bool | None = None
    under_voltage_since_boot: bool | None = None
    frequency_capped_now: bool | None = None
    frequency_capped_since_boot: bool | None = None
    throttle_count: int | None = None  # x86: how often a core or the package was throttled since boot
    clock_mhz: int | None = None  # of the fastest cluster, now
    clock_limit_mhz: int | None = None  # what the governor may use
    clock_highest_mhz: int | None = None  # what the processor can do
    source: tuple[str, ...] = ()  # where it was read


def read_health(root: Path = Path("/"), run_tool: RunTool | None = None) -> Health:
    """Read the state of the machine whose /proc and /sys lie below ``root``.

    ``run_tool`` runs `vcgencmd`; by default the real one for this machine and none for a recorded tree.
    """
    if run_tool is None and root == Path("/"):
        run_tool = run_vcgencmd
    source: list[str] = []
    temperature = cpu_temperature_c(root)
    if temperature is not None:
        source.append(temperature[1])
    bits = _throttled_bits(run_tool("get_throttled") if run_tool is not None else None)
    if bits is not None:
        source.append("vcgencmd get_throttled")
    cooling = is_cooling(root)
    if cooling is not None:
        source.append("/sys/class/thermal/cooling_device*")
    count = heat_throttle_count(root)
    if count is not None:
        source.append("/sys/devices/system/cpu/cpu*/thermal_throttle")
    alarm = under_voltage_alarm(root)
    if alarm is not None:
        source.append("hwmon rpi_volt")
    clock = clocks(root)
    if clock.now_mhz is not None:
        source.append("cpufreq")
    throttled = _any(_bit(bits, _THROTTLED), _bit(bits, _SOFT_LIMIT), cooling)
    under_voltage = _any(_bit(bits, _UNDER_VOLTAGE), alarm)
    return Health(
        temperature_c=temperature[0] if temperature is not None else None,
        throttled_now=throttled,
        throttled_since_boot=_any(
            _bit(bits, _THROTTLED + _SINCE_BOOT),
            _bit(bits, _SOFT_LIMIT + _SINCE_BOOT),
            None if count is None else count > 0,
            throttled or None,
        ),
        under_voltage_now=under_voltage,
        under_voltage_since_boot=_any(_bit(bits, _UNDER_VOLTAGE + _SINCE_BOOT), under_voltage or None),
        frequency_capped_now=_bit(bits, _FREQUENCY_CAPPED),
        frequency_capped_since_boot=_bit(bits, _FREQUENCY_CAPPED + _SINCE_BOOT),
        throttle_count=count,
        clock_mhz=clock.now_mhz,
        clock_limit_mhz=clock.limit_mhz,
        clock_highest_mhz=clock.highest_mhz,
        source=tuple(source),
    )


def run_vcgencmd(argument: str) -> str | None:
    """What `vcgencmd ARGUMENT` prints; None when there is no such program, or it fails or hangs."""
    program = shutil.which("vcgencmd") or shutil.which("vcgencmd", path="/usr/bin:/opt/vc/bin")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, argument], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TOOL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout[:4096].decode("utf-8", "replace") if done.returncode == 0 else None


def _throttled_bits(text: str | None) -> int | None:
    found = re.search(r"throttled=0x([0-9a-fA-F]{1,8})\b", text or "")
    return int(found.group(1), 16) if found else None


def _bit(bits: int | None, number: int) -> bool | None:
    return None if bits is None else bool(bits >> number & 1)


def _any(*values: bool | None) -> bool | None:
    """True when one says so, None when nobody knows."""
    known = [value for value in values if value is not None]
    return any(known) if known else None
