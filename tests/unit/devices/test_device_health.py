"""Temperature, throttling and supply voltage on recorded trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from board_trees import write_tree
from edgellm.devices.health import Health, read_health
from edgellm.devices.thermal import clocks, cpu_temperature_c, is_cooling

THERMAL = "sys/class/thermal"
CPU = "sys/devices/system/cpu"


def zones(*pairs: tuple[str, str]) -> dict[str, str]:
    files = {}
    for number, (kind, value) in enumerate(pairs):
        files[f"{THERMAL}/thermal_zone{number}/type"] = kind + "\n"
        files[f"{THERMAL}/thermal_zone{number}/temp"] = value + "\n"
    return files


def test_nothing_is_known_of_an_empty_tree(tmp_path: Path) -> None:
    assert read_health(tmp_path) == Health()


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("0x0", {}),
        ("0x50000", {"under_voltage_since_boot", "throttled_since_boot"}),
        ("0x50005", {"under_voltage_now", "under_voltage_since_boot", "throttled_now", "throttled_since_boot"}),
        ("0x20002", {"frequency_capped_now", "frequency_capped_since_boot"}),
        ("0x80008", {"throttled_now", "throttled_since_boot"}),
    ],
)
def test_every_bit_of_the_firmware_is_told(tmp_path: Path, bits: str, expected: set[str]) -> None:
    asked: list[str] = []

    def tool(argument: str) -> str:
        asked.append(argument)
        return f"throttled={bits}\n"

    health = read_health(tmp_path, tool)
    names = ("under_voltage", "throttled", "frequency_capped")
    fields = [f"{name}_{when}" for name in names for when in ("now", "since_boot")]
    assert {name: getattr(health, name) for name in fields} == {name: name in expected for name in fields}
    assert asked == ["get_throttled"]
    assert health.source == ("vcgencmd get_throttled",)


@pytest.mark.parametrize("answer", [None, "", "throttled=", "VCHI initialization failed", "throttled=0x" + "f" * 99])
def test_a_firmware_that_does_not_answer_says_nothing(tmp_path: Path, answer: str | None) -> None:
    assert read_health(tmp_path, lambda _argument: answer) == Health()


def test_the_kernel_alarm_tells_of_low_voltage_where_the_firmware_is_silent(tmp_path: Path) -> None:
    files = {
        "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
        "sys/class/hwmon/hwmon0/temp1_input": "61000\n",
        "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
        "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
    }
    health = read_health(write_tree(tmp_path, files))
    assert (health.under_voltage_now, health.under_voltage_since_boot) == (True, True)
    write_tree(tmp_path, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n"})
    health = read_health(tmp_path)
    assert (health.under_voltage_now, health.under_voltage_since_boot) == (False, None)
    assert health.temperature_c == 61.0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([("cpu-thermal", "55504")], 55.504),  # Raspberry Pi
        ([("gpu-thermal", "90000"), ("bigcore0-thermal", "48000"), ("package-thermal", "49000")], 48.0),  # RK3588
        ([("soc-thermal", "46666"), ("gpu-thermal", "47222")], 46.666),  # RK3566
        ([("cpu-thermal", "51000"), ("cv0-thermal", "0"), ("tj-thermal", "52000")], 51.0),  # Orin
        ([("acpitz", "27800"), ("x86_pkg_temp", "63000")], 63.0),
        ([("acpitz", "27800"), ("iwlwifi_1", "50000")], 27.8),
        ([("battery", "31000"), ("nvme", "40000")], None),
        ([("cpu-thermal", "-274000"), ("soc-thermal", "44000")], 44.0),  # a sensor that is not connected
        ([("cpu-thermal", "999999999999"), ("acpitz", "0")], None),
        ([("cpu0-thermal", "40000"), ("cpu1-thermal", "45000")], 45.0),
    ],
)
def test_the_zone_of_the_processor_is_chosen(
    tmp_path: Path, found: list[tuple[str, str]], expected: float | None
) -> None:
    assert read_health(write_tree(tmp_path, zones(*found))).temperature_c == expected


def test_a_sensor_inside_the_processor_is_preferred_to_one_of_the_board(tmp_path: Path) -> None:
    files = zones(("acpitz", "27800")) | {
        "sys/class/hwmon/hwmon3/name": "k10temp\n",
        "sys/class/hwmon/hwmon3/temp1_input": "71250\n",
    }
    assert cpu_temperature_c(write_tree(tmp_path, files)) == (71.25, "/sys/class/hwmon/hwmon3 (k10temp)")


def test_cooling_of_the_processor_is_throttling_and_a_fan_is_not(tmp_path: Path) -> None:
    files = {
        f"{THERMAL}/cooling_device0/type": "pwm-fan\n",
        f"{THERMAL}/cooling_device0/cur_state": "3\n",
        f"{THERMAL}/cooling_device1/type": "cpufreq-cpu0\n",
        f"{THERMAL}/cooling_device1/cur_state": "0\n",
    }
    assert is_cooling(write_tree(tmp_path, files)) is False
    assert read_health(tmp_path).throttled_now is False
    write_tree(tmp_path, {f"{THERMAL}/cooling_device1/cur_state": "2\n"})
    health = read_health(tmp_path)
    assert (health.throttled_now, health.throttled_since_boot) == (True, True)


def test_x86_counts_its_throttling(tmp_path: Path) -> None:
    files = {
        f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "0\n",
        f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "7\n",
        f"{CPU}/cpu1/thermal_throttle/package_throttle_count": "12\n",
    }
    health = read_health(write_tree(tmp_path, files))
    assert (health.throttled_now, health.throttled_since_boot, health.throttle_count) == (None, True, 12)


def test_clocks_are_those_of_the_fastest_cluster(tmp_path: Path) -> None:
    files = {}
    for number, (now, limit, highest) in enumerate([(408000, 1800000, 1800000), (600000, 1200000, 2400000)]):
        folder = f"{CPU}/cpufreq/policy{4 * number}"
        files[f"{folder}/scaling_cur_freq"] = f"{now}\n"
        files[f"{folder}/scaling_max_freq"] = f"{limit}\n"
        files[f"{folder}/cpuinfo_max_freq"] = f"{highest}\n"
    assert tuple(clocks(write_tree(tmp_path, files))) == (600, 1200, 2400)


def test_hostile_values_are_harmless(tmp_path: Path) -> None:
    files = zones(("cpu-thermal", "9" * 5000), ("cpu-thermal", "NaN"), ("\x1b[2J", "1e5")) | {
        f"{THERMAL}/cooling_device0/type": "cpufreq",
        f"{THERMAL}/cooling_device0/cur_state": "9" * 5000,
        f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "-1",
        f"{CPU}/cpufreq/policy0/scaling_cur_freq": "9" * 5000,
        f"{CPU}/cpufreq/policy0/cpuinfo_max_freq": "0",
        "sys/class/hwmon/hwmon0/name": "rpi_volt",
        "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "yes",
    }
    assert read_health(write_tree(tmp_path, files)) == Health()
