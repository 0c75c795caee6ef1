"""What the modes of watching look like."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded import RecordedConnection, StoppedClock, recorded_app
from textual.pilot import Pilot
from tui_rig import NARROW, WIDE, text_of, wait_until
from watch_rig import BUSY_LOG, SETTINGS, busy_jobs, busy_statistics, idle_statistics, running_job

from edgellm.api.jobs import JobChanges
from edgellm.tui.screens.device import DeviceScreen
from edgellm.tui.widgets.keyed_table import KeyedTable
from edgellm.tui.widgets.log_view import LogView

JOBS, DEVICE = "/api/edgellm/jobs/stream", "/api/edgellm/statistics/stream"
LOG, SETTING = "/api/edgellm/log/stream", "/api/edgellm/settings"
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


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Here it is always 11:48 on the same day."""
    monkeypatch.setattr("edgellm.tui.screens.jobs.time", StoppedClock())
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def shown(pilot: Pilot[None]) -> None:
    """Wait until everything that was recorded is on the screen."""
    app = pilot.app
    connection = app.connection  # type: ignore[attr-defined]
    await wait_until(pilot, lambda: connection.is_connected and connection.asked, "asking")
    match app.current_mode:
        case "jobs":
            rows = len(connection.answers[JOBS][0].jobs)
            await wait_until(pilot, lambda: app.screen.query_one(KeyedTable).row_count == rows, "the jobs")
            await wait_until(pilot, lambda: not rows or "MiB/s" in text_of(app), "the speed")
        case "device":
            screen, last = app.screen, connection.answers[DEVICE][-1]
            assert isinstance(screen, DeviceScreen)
            await wait_until(pilot, lambda: screen.statistics == last, "the last moment")
        case "logs":
            lines = len(connection.answers[LOG])
            await wait_until(pilot, lambda: app.screen.query_one(LogView).n_lines == lines, "the lines")
        case "settings":
            await wait_until(pilot, lambda: app.screen.query_one(KeyedTable).row_count, "the settings")


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("case", ANSWERS)
def test_a_mode(case: str, size: tuple[int, int], theme: str, tmp_path: Path, snap_compare: Compare) -> None:
    mode = case.partition("-")[0]
    app = recorded_app(tmp_path, ANSWERS[case], start=mode, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=shown)


@pytest.mark.parametrize("mode", ["jobs", "device", "logs", "settings"])
def test_a_mode_whose_server_is_lost(mode: str, tmp_path: Path, snap_compare: Compare) -> None:
    app = recorded_app(tmp_path, ANSWERS[f"{mode}-busy"], start=mode)

    async def lose(pilot: Pilot[None]) -> None:
        await shown(pilot)
        assert isinstance(app.connection, RecordedConnection)
        app.connection.break_off()
        await pilot.pause()

    assert snap_compare(app, run_before=lose)


def test_a_console_with_sixteen_colours(tmp_path: Path, snap_compare: Compare) -> None:
    app = recorded_app(tmp_path, ANSWERS["device-busy"], start="device", theme="ansi")
    assert snap_compare(app, run_before=shown)


def test_the_error_of_a_job(tmp_path: Path, snap_compare: Compare) -> None:
    async def choose(pilot: Pilot[None]) -> None:
        await shown(pilot)
        await pilot.press("end", "home", "down", "down", "down", "down", "down")

    app = recorded_app(tmp_path, ANSWERS["jobs-busy"], start="jobs")
    assert snap_compare(app, run_before=choose)


def test_a_filtered_log(tmp_path: Path, snap_compare: Compare) -> None:
    async def narrow(pilot: Pilot[None]) -> None:
        await shown(pilot)
        await pilot.press("v", "slash", *"job", "enter")

    app = recorded_app(tmp_path, ANSWERS["logs-busy"], start="logs")
    assert snap_compare(app, run_before=narrow)


def test_the_place_of_an_archive(tmp_path: Path, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/me"))

    async def ask(pilot: Pilot[None]) -> None:
        await shown(pilot)
        await pilot.press("home", "down", "down", "w")
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1, "the question")

    app = recorded_app(tmp_path, ANSWERS["jobs-busy"], start="jobs")
    assert snap_compare(app, run_before=ask)
