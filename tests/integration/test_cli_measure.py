"""`edgellm devices detect --measure`: it really measures, what it finds is kept and used, and it can be stopped."""

from __future__ import annotations

import functools
import signal
import subprocess
from pathlib import Path

import pytest

import edgellm_runtimes.calibrate
from cli_process import Cli, read_until
from edgellm.cli.context import load_device
from edgellm.cli.detect_command import detect
from edgellm.devices.calibration import read_calibration
from edgellm.settings import SettingsWithOrigin, load_settings
from edgellm_runtimes.calibrate.synthetic import Shape

SMALL = (Shape(n_embd=512, n_ff=1536, n_layers=1), Shape(n_embd=256, n_ff=768, n_layers=2))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsWithOrigin:
    monkeypatch.setenv("EDGELLM_HOME", str(tmp_path / "home"))
    return load_settings(system_config=tmp_path / "none")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measurement of fewer types and for a shorter time."""
    short = functools.partial(
        edgellm_runtimes.calibrate.measure, types=("Q4_0",), budget_s=0.02, rounds=1, shapes=SMALL
    )
    monkeypatch.setattr(edgellm_runtimes.calibrate, "measure", short)


@pytest.mark.usefixtures("hurried")
def test_what_was_measured_is_kept_shown_and_replaces_the_estimates(
    settings: SettingsWithOrigin, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_device(None, None, settings).profile.perf.measured is None
    detect(measure=True, as_json=False, quiet=False)
    printed = capsys.readouterr()
    found = read_calibration(settings.paths.state)
    assert found is not None
    assert {kernel.type for kernel in found.measured.kernels} == {"Q8_0", "Q4_0"}
    assert all(kernel.decode_gops > 0 and kernel.prefill_gops > 0 for kernel in found.measured.kernels)
    assert 0 < found.read_gb_s < 2000
    assert f"measured here on {found.date}, {found.read_gb_s:.1f} GB/s; predicted within +-" in printed.out
    assert "measure memory" in printed.err
    assert "measure Q4_0" in printed.err
    assert str(settings.paths.state / "calibration.json") in printed.err
    profile = load_device(None, None, settings).profile
    assert profile.perf.measured == found.measured
    assert profile.memory.bandwidth_measured_gb_s is not None
    assert profile.memory.bandwidth_measured_gb_s.value == found.read_gb_s
    assert [path.name for path in settings.paths.state.iterdir()] == ["calibration.json"]


@pytest.mark.usefixtures("hurried")
def test_a_busy_or_throttled_machine_is_told_so(
    settings: SettingsWithOrigin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgellm.devices.health import Health

    monkeypatch.setattr("edgellm.devices.busy.busy_cores", lambda _: 99.0)
    hot = Health(throttled_now=True, under_voltage_now=True)
    monkeypatch.setattr("edgellm.devices.health.read_health", lambda: hot)
    detect(measure=True, as_json=True, quiet=False)
    said = capsys.readouterr().err
    for text in ("99.0 cores busy", "throttled", "supply voltage"):
        assert text in said
    detect(measure=True, as_json=True, quiet=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle_it_leaves_the_old_result_and_no_child(cli: Cli, number: signal.Signals) -> None:
    state = cli.home / "state"
    state.mkdir(parents=True)
    (state / "calibration.json").write_bytes(b"the old one")
    process = subprocess.Popen(
        cli.command("devices", "detect", "--measure"),
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    read_until(process, b"measure Q8_0")
    process.send_signal(number)
    process.communicate(timeout=60)  # to the end of both streams: no child holds a copy of them
    status = process.returncode
    assert status == (-number if number == signal.SIGKILL else 130)
    assert (state / "calibration.json").read_bytes() == b"the old one"
