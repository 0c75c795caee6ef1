"""Watching in terminals that become small and large again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recorded import StoppedClock, recorded_app
from textual.pilot import Pilot
from tui_rig import run_app, text_of, wait_until
from watch_rig import BUSY_LOG, SETTINGS, busy_jobs, busy_statistics, running_job, shown

from edgellm.api.jobs import JobChanges

ANSWERS: dict[str, dict[str, Any]] = {
    "jobs": {"/api/edgellm/jobs/stream": [busy_jobs(270), JobChanges([running_job(300)])]},
    "device": {"/api/edgellm/statistics/stream": busy_statistics()},
    "logs": {"/api/edgellm/log/stream": BUSY_LOG},
    "settings": {"/api/edgellm/settings": SETTINGS},
}
WORDS = {"jobs": "running", "device": "Memory", "logs": "raspberrypi5-q4_k_m", "settings": "store"}


@pytest.mark.parametrize("mode", ANSWERS)
def test_a_terminal_that_is_resized_shows_as_much_as_there_is_room_for(mode: str, tmp_path: Path) -> None:
    app = recorded_app(tmp_path, ANSWERS[mode], start=mode)

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: WORDS[mode] in text_of(app), "the first picture")
        for size in ((200, 60), (40, 12), (10, 4), (1, 1), (60, 15), (80, 24)):
            await pilot.resize_terminal(*size)
            await wait_until(pilot, lambda size=size: app.size == size, "the new size")  # type: ignore[misc]
            await pilot.pause()
            if size[0] >= 40:
                await wait_until(pilot, lambda: WORDS[mode] in text_of(app), f"a picture of {size}")
            lines = text_of(app).splitlines()
            assert len(lines) == size[1]

    run_app(app, use)


@pytest.mark.parametrize("mode", ANSWERS)
def test_another_theme_is_taken_over_at_once(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgellm.tui.screens.jobs.time", StoppedClock())
    app = recorded_app(tmp_path, ANSWERS[mode], start=mode)

    async def use(pilot: Pilot[None]) -> None:
        await shown(pilot)
        await pilot.pause()
        before = app.export_screenshot()
        for theme in ("edgellm-light", "ansi-dark", "edgellm-dark"):
            app.theme = theme
            await pilot.pause()
            assert WORDS[mode] in text_of(app)
        await wait_until(pilot, lambda: app.export_screenshot() == before, "the colours of before")

    run_app(app, use)
