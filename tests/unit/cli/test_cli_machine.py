"""The profile that commands plan with on a recorded board."""

from __future__ import annotations

from pathlib import Path

import pytest

from board_trees import board_tree
from edgellm.cli.context import load_device
from edgellm.cli.detect_command import detect
from edgellm.devices.calibration import Calibration, KernelSpeed, Measured, this_machine, write_calibration
from edgellm.devices.detect import Detection, detect_device
from edgellm.errors import UnsupportedError
from edgellm.machine import this_device_id
from edgellm.settings import SettingsWithOrigin, load_settings

GIB = 2**30


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsWithOrigin:
    monkeypatch.setenv("EDGELLM_HOME", str(tmp_path / "home"))
    return load_settings(system_config=tmp_path / "none")


def on(board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Detection:
    """From now on the commands run on ``board``."""
    found = detect_device(board_tree(board, tmp_path / board))
    monkeypatch.setattr("edgellm.devices.detect.detect_device", lambda **_: found)
    return found


def calibrate(settings: SettingsWithOrigin) -> Calibration:
    """A stored calibration of the machine that runs the test."""
    kernel = KernelSpeed(type="Q4_K", repacked=True, decode_gops=9.0, prefill_gops=90.0)
    calibration = Calibration(
        machine=this_machine(),
        date="2026-01-02",
        read_gb_s=12.5,
        copy_gb_s=11.0,
        measured=Measured(
            source="measured on this machine",
            kernels=(kernel,),
            decode_value_seconds=1e-9,
            decode_attention_gops=5.0,
            prefill_attention_gops=50.0,
            prefill_value_seconds=1e-9,
            spread=0.02,
        ),
    )
    write_calibration(settings.paths.state, calibration)
    return calibration


def test_without_a_device_the_matched_profile_is_used(
    settings: SettingsWithOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = on("raspberrypi5", tmp_path, monkeypatch)
    assert this_device_id(settings) == "raspberrypi5"
    loaded = load_device(None, None, settings)
    assert loaded.profile == found.match
    assert "this machine's memory" in (loaded.assumption or "")


def test_its_own_name_or_alias_means_this_board(
    settings: SettingsWithOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = on("raspberrypi4", tmp_path, monkeypatch)
    for name in ("raspberrypi4", "pi4"):
        assert load_device(name, None, settings).profile == found.match
    assert load_device("local", None, settings).profile == found.local


def test_another_size_is_planned_by_the_rule_for_that_size(
    settings: SettingsWithOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("raspberrypi5", tmp_path, monkeypatch)
    memory = load_device("raspberrypi5", 4 * GIB, settings).profile.memory
    assert (memory.default_size, memory.os_reserve_mb) == ("4GiB", None)


def test_another_board_stays_as_it_is_shipped(
    settings: SettingsWithOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("raspberrypi5", tmp_path, monkeypatch)
    calibrate(settings)
    profile = load_device("rk3588", None, settings).profile
    assert (profile.memory.default_size, profile.perf.measured) == ("8GiB", None)


def test_a_machine_that_no_profile_is_for_is_local(
    settings: SettingsWithOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = on("x86-laptop", tmp_path, monkeypatch)
    assert this_device_id(settings) == "local"
    assert load_device(None, None, settings).profile == found.local


def test_the_configured_device_comes_before_the_machine(
    settings: SettingsWithOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("raspberrypi5", tmp_path, monkeypatch)
    monkeypatch.setenv("EDGELLM_DEVICE", "rock5b")
    settings = load_settings(system_config=tmp_path / "none")
    assert this_device_id(settings) == "rk3588"
    assert load_device(None, None, settings).profile.id == "rk3588"


@pytest.mark.parametrize("reference", [None, "local", "raspberrypi5"])
def test_what_was_measured_here_replaces_the_estimates(
    reference: str | None, settings: SettingsWithOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("raspberrypi5", tmp_path, monkeypatch)
    before = load_device(reference, None, settings)
    calibration = calibrate(settings)
    after = load_device(reference, None, settings)
    assert before.profile.perf.measured is None
    assert after.profile.perf.measured == calibration.measured
    assert after.digest != before.digest


def test_where_nothing_can_be_detected_named_devices_still_work(
    settings: SettingsWithOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> Detection:
        raise UnsupportedError("another operating system")

    monkeypatch.setattr("edgellm.devices.detect.detect_device", refuse)
    assert this_device_id(settings) == "local"
    assert load_device("raspberrypi5", None, settings).profile.id == "raspberrypi5"


def test_detect_prints_the_board_the_reasons_and_what_is_not_known(
    settings: SettingsWithOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on("container-v1", tmp_path, monkeypatch)
    monkeypatch.setattr("edgellm.devices.health.read_health", lambda: health_of_nothing())
    detect(measure=False, as_json=False, quiet=False)
    printed = capsys.readouterr()
    for text in (
        "Raspberry Pi 4 Model B Rev 1.1",
        "raspberrypi4 (Raspberry Pi 4)",
        "limited to 512 MiB",
        "4 x Cortex-A72 at 1800 MHz",
        "no dot products",
        "n/a; throttled: n/a",
        "1 thread, ",
        "estimated for raspberrypi4",
    ):
        assert text in printed.out


def health_of_nothing() -> object:
    from edgellm.devices.health import Health

    return Health()
