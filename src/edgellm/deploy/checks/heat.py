"""Is the machine too hot, slowed down, or short of voltage?"""

from __future__ import annotations

from collections.abc import Iterator

from edgellm.deploy.checks.finding import Finding, fine, skipped, warning
from edgellm.deploy.checks.machine import Machine

__all__ = ["check_temperature", "check_throttling", "check_voltage"]

_HOT_C = 80.0  # where a Raspberry Pi 4 or 5 begins to slow down, and most laptops are loud
_NEARLY_FULL_CLOCK = 0.95


def check_temperature(machine: Machine) -> Iterator[Finding]:
    """The processor's temperature at the moment."""
    value = machine.health.temperature_c
    if value is None:
        yield skipped("temperature", "no sensor of the processor can be read here")
    elif value >= _HOT_C:
        yield warning(
            "temperature",
            f"the processor has {value:.0f} C: from about {_HOT_C:.0f} C on, most boards slow down",
            "give it a heat sink or a fan, and free air around it",
        )
    else:
        yield fine("temperature", f"the processor has {value:.0f} C")


def check_throttling(machine: Machine) -> Iterator[Finding]:
    """Is the clock held down, by heat, by the firmware or by a setting?"""
    health = machine.health
    limit, highest = health.clock_limit_mhz, health.clock_highest_mhz
    if health.throttled_now:
        yield warning(
            "throttling", "the processor is slowed down by heat at the moment", "let it cool down, then add a fan"
        )
    elif health.frequency_capped_now:
        yield warning(
            "throttling",
            "the firmware holds the processor's clock down at the moment",
            "use the power supply that the board's maker names, with its own cable",
        )
    elif limit is not None and highest is not None and limit < _NEARLY_FULL_CLOCK * highest:
        yield warning(
            "throttling",
            f"the clock is limited to {limit} of {highest} MHz",
            "sudo sh -c 'for f in /sys/devices/system/cpu/cpufreq/policy*; do cat $f/cpuinfo_max_freq > "
            "$f/scaling_max_freq; done'",
        )
    elif health.throttled_since_boot or health.frequency_capped_since_boot:
        times = f" ({health.throttle_count} times)" if health.throttle_count else ""
        yield warning(
            "throttling",
            f"the processor was slowed down since it was started{times}, and is not now",
            "add a fan or a heat sink if answers slow down after a while",
        )
    elif health.throttled_now is None and health.throttled_since_boot is None:
        yield skipped("throttling", "this system does not say whether it slows down")
    else:
        clock = f": {health.clock_mhz} of {highest} MHz now" if health.clock_mhz and highest else ""
        yield fine("throttling", f"the processor is not slowed down{clock}")


def check_voltage(machine: Machine) -> Iterator[Finding]:
    """Raspberry Pi: does the supply hold 4.63 V?"""
    health = machine.health
    if health.under_voltage_now is None and health.under_voltage_since_boot is None:
        yield skipped("voltage", "this system does not measure its supply")
    elif health.under_voltage_now or health.under_voltage_since_boot:
        when = "is" if health.under_voltage_now else "was, since it was started,"
        yield warning(
            "voltage",
            f"the supply voltage {when} too low: the board slows down, and files on its card may get damaged",
            "use the power supply that the board's maker names, with its own cable",
        )
    else:
        yield fine("voltage", "the supply voltage is high enough")
