"""What the modes of watching look like."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded import RecordedConnection, StoppedClock, recorded_app
from textual.pilot import Pilot
from tui_rig import NARROW, WIDE, wait_until
from watch_rig import (
    BUSY_LOG,
    DEVICE,
    JOBS,
    LOG,
    SETTING,
    SETTINGS,
    busy_jobs,
    busy_statistics,
    idle_statistics,
    running_job,
    shown,
)

from edgellm.api.jobs import JobChanges

ANSWERS: dict[str, dict[str, Any]] = {
    "jobs-empty": {JOBS: [JobChanges([], is_whole=True)]},
    "jobs-busy": {JOBS: [busy_jobs(270), JobChanges([running_job(300)])]},
    "device-empty": {DEVICE: idle_statistics()},
    "device-busy": {DEVICE: busy_statistics()},
    "logs-empty": {LOG: []},
    "logs-busy": {LOG: BUSY_LOG},
    "settings-busy": {SETTING: SETTINGS},
}
Compare = Callable[..., bool]
SIZES = pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
THEMES = pytest.mark.parametrize("theme", ["dark", "light"])


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Here it is always 11:48 on the same day."""
    monkeypatch.setattr("edgellm.tui.screens.jobs.time", StoppedClock())
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@THEMES
@SIZES
@pytest.mark.parametrize("case", ANSWERS)
def test_a_mode(case: str, size: tuple[int, int], theme: str, tmp_path: Path, snap_compare: Compare) -> None:
    mode = case.partition("-")[0]
    app = recorded_app(tmp_path, ANSWERS[case], start=mode, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=shown)


@THEMES
@SIZES
@pytest.mark.parametrize("mode", ["jobs", "device", "logs", "settings"])
def test_a_mode_whose_server_is_lost(
    mode: str, size: tuple[int, int], theme: str, tmp_path: Path, snap_compare: Compare
) -> None:
    app = recorded_app(tmp_path, ANSWERS[f"{mode}-busy"], start=mode, theme=theme)

    async def lose(pilot: Pilot[None]) -> None:
        await shown(pilot)
        assert isinstance(app.connection, RecordedConnection)
        app.connection.break_off()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=lose)


def test_a_console_with_sixteen_colours(tmp_path: Path, snap_compare: Compare) -> None:
    app = recorded_app(tmp_path, ANSWERS["device-busy"], start="device", theme="ansi")
    assert snap_compare(app, run_before=shown)


@THEMES
@SIZES
def test_the_error_of_a_job(size: tuple[int, int], theme: str, tmp_path: Path, snap_compare: Compare) -> None:
    async def choose(pilot: Pilot[None]) -> None:
        await shown(pilot)
        await pilot.press("end", "home", "down", "down", "down", "down", "down")

    app = recorded_app(tmp_path, ANSWERS["jobs-busy"], start="jobs", theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=choose)


@THEMES
@SIZES
def test_a_filtered_log(size: tuple[int, int], theme: str, tmp_path: Path, snap_compare: Compare) -> None:
    async def narrow(pilot: Pilot[None]) -> None:
        await shown(pilot)
        await pilot.press("v", "slash", *"job", "enter")

    app = recorded_app(tmp_path, ANSWERS["logs-busy"], start="logs", theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=narrow)


@THEMES
@SIZES
@pytest.mark.parametrize("key", ["w", "delete"])
def test_a_dialog_about_an_archive(
    key: str,
    size: tuple[int, int],
    theme: str,
    tmp_path: Path,
    snap_compare: Compare,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/me"))

    async def ask(pilot: Pilot[None]) -> None:
        await shown(pilot)
        await pilot.press("home", "down", "down", key)
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1, "the question")

    app = recorded_app(tmp_path, ANSWERS["jobs-busy"], start="jobs", theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=ask)
