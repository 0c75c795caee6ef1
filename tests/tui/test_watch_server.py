"""Device, log and settings of a real server in the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded import recorded_app
from textual.pilot import Pilot
from textual.widgets import Static
from tui_rig import WIDE, app_of, run_app, text_of, wait_until

from cli_process import Cli
from edgellm.api.watching import SettingOrigin
from edgellm.errors import BackendError
from edgellm.settings import load_settings
from edgellm.tui.app import EdgeApp
from edgellm.tui.launch import Launcher
from edgellm.tui.screens.device import DeviceScreen
from edgellm.tui.widgets.keyed_table import KeyedTable
from edgellm.tui.widgets.log_view import LogView
from server_process import RunningServer, running_server


def generate(server: RunningServer, tokens: int = 20) -> None:
    body = {"model": "tiny-llm", "prompt": "Once", "sampling": {"max_tokens": tokens, "temperature": 0}}
    with server.client() as client:
        answer = client.post("/api/edgellm/run", json=body)
    assert answer.status_code == 200, answer.text


def device_of(app: EdgeApp) -> DeviceScreen:
    screen = app.screen
    assert isinstance(screen, DeviceScreen)
    return screen


def test_the_device_shows_gauges_models_and_what_they_make(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home, start="device")

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "Memory" in text_of(app) and "free" in text_of(app), "the gauges")
        assert "No model is in memory" in text_of(app)
        await wait_until(pilot, lambda: device_of(app).history.decoded[-1:] == [0.0], "a second moment")
        generate(own_server)
        await wait_until(pilot, lambda: "tiny-llm" in text_of(app), "the model")
        before = list(device_of(app).history.decoded)
        generate(own_server, 100)
        await wait_until(
            pilot, lambda: any(rate for rate in device_of(app).history.decoded[len(before) :]), "tokens per second"
        )

    run_app(app, use, (120, 40))


def test_the_numbers_can_be_held_still(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home, start="device")

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: device_of(app).statistics is not None, "the gauges")
        await pilot.press("space")
        await wait_until(pilot, lambda: "paused" in text_of(app), "the pause")
        shown, moment = str(device_of(app).query_one("#board", Static).content), device_of(app).statistics
        await wait_until(pilot, lambda: device_of(app).statistics != moment, "another moment")
        assert str(device_of(app).query_one("#board", Static).content) == shown
        await pilot.press("space")
        await wait_until(pilot, lambda: "paused" not in text_of(app), "the end of the pause")

    run_app(app, use)


def test_nothing_is_read_for_a_mode_that_is_not_shown(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home, start="device")

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: device_of(app).statistics is not None, "the gauges")
        device = device_of(app)
        await pilot.press("f6")
        await wait_until(pilot, lambda: app.current_mode == "settings", "the settings")
        assert not device.is_watching
        await pilot.press("f3")
        await wait_until(pilot, lambda: device.is_watching, "the device")

    run_app(app, use)


def test_the_log_is_followed_filtered_and_copied(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home, start="logs")
    copied: list[str] = []

    async def use(pilot: Pilot[None]) -> None:
        app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
        view = app.screen.query_one(LogView)
        await wait_until(pilot, lambda: view.n_lines, "the log")
        generate(own_server)
        await wait_until(pilot, lambda: "loaded in" in text_of(app), "the new line")
        await pilot.press("slash", *"loaded tiny", "enter")
        await wait_until(pilot, lambda: view.n_shown == 1, "the filter")
        await pilot.press("y")
        await wait_until(pilot, lambda: copied, "the clipboard")
        assert "tiny-llm" in copied[0]
        assert "\n" not in copied[0]
        await pilot.press("v", "v", "v")
        await wait_until(pilot, lambda: view.n_shown == 0, "errors alone")
        await pilot.press("escape")
        await wait_until(pilot, lambda: view.n_shown == view.n_lines > 1, "everything")

    run_app(app, use)


def test_scrolling_up_ends_the_following(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home, start="logs")

    async def use(pilot: Pilot[None]) -> None:
        view = app.screen.query_one(LogView)
        await wait_until(pilot, lambda: view.n_lines, "the log")
        with own_server.client() as client:
            for _ in range(40):
                client.get("/api/edgellm/version")
        await wait_until(pilot, lambda: view.max_scroll_y > 10 and view.is_vertical_scroll_end, "a long log")
        await pilot.press("pageup")
        await wait_until(pilot, lambda: not view.follows, "standing still")
        place = view.scroll_offset.y
        lines = view.n_lines
        generate(own_server, 1)
        await wait_until(pilot, lambda: view.n_lines > lines, "more lines")
        assert view.scroll_offset.y == place
        await pilot.press("f")
        await wait_until(pilot, lambda: view.follows and view.is_vertical_scroll_end, "the end")

    run_app(app, use)


def test_the_log_of_a_server_that_was_killed_stays_and_that_of_the_next_follows(own_home: Path, tmp_path: Path) -> None:
    app = app_of(own_home, start="logs")
    started: list[int] = []

    async def use(pilot: Pilot[None]) -> None:
        view = app.screen.query_one(LogView)
        await wait_until(pilot, lambda: app.connection.is_connected, "the connection")
        generate(first, 1)
        await wait_until(pilot, lambda: "loaded in" in view.text, "the log of the first")
        first.process.kill()
        await wait_until(pilot, lambda: not app.connection.is_connected, "the loss")
        assert "loaded in" in view.text
        await wait_until(pilot, lambda: app.connection.is_connected, "another server")
        assert app.connection.server is not None
        started.append(app.connection.server.pid)
        await wait_until(pilot, lambda: "another server answers" in view.text, "the note")
        assert "loaded in" in view.text

    with running_server(own_home, tmp_path / "log") as first:
        try:
            run_app(app, use)
        finally:
            end(started)


@pytest.mark.parametrize("mode", ["jobs", "device", "settings"])
def test_what_was_shown_stays_while_the_server_is_away(mode: str, own_home: Path, tmp_path: Path) -> None:
    app = app_of(own_home, start=mode)
    word = {"jobs": "No jobs yet", "device": "Memory", "settings": "keep_alive"}[mode]
    started: list[int] = []

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: word in text_of(app), "the first answer")
        server.process.kill()
        await wait_until(pilot, lambda: not app.connection.is_connected, "the loss")
        assert word in text_of(app)
        await wait_until(pilot, lambda: app.connection.is_connected, "another server")
        assert app.connection.server is not None
        started.append(app.connection.server.pid)
        await wait_until(pilot, lambda: word in text_of(app), "the next answer")

    with running_server(own_home, tmp_path / "log") as server:
        try:
            run_app(app, use, WIDE)
        finally:
            end(started)


def end(pids: list[int]) -> None:
    """End the servers that an app started itself, and wait for them."""
    import psutil

    for pid in pids:
        try:
            process = psutil.Process(pid)
            process.terminate()
            process.wait(30)
        except psutil.NoSuchProcess:
            continue


def test_settings_with_their_origin_and_how_to_change_them(own_home: Path, tmp_path: Path) -> None:
    app = app_of(own_home, start="settings")
    copied: list[str] = []

    async def use(pilot: Pilot[None]) -> None:
        app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
        await wait_until(pilot, lambda: "--keep-alive" in text_of(app), "the flag")
        assert "EDGELLM_THREADS" in text_of(app)
        await pilot.press("slash", *"threads", "enter")
        table = app.screen.query_one(KeyedTable)
        await wait_until(pilot, lambda: table.row_count == 1, "the filter")
        await wait_until(pilot, lambda: "Decode threads" in text_of(app), "the meaning")
        await pilot.press("y")
        await wait_until(pilot, lambda: copied, "the clipboard")
        await pilot.press("escape")
        await wait_until(pilot, lambda: table.row_count > 10, "all of them")

    with running_server(own_home, tmp_path / "log", "--keep-alive", "90s", environment={"EDGELLM_THREADS": "2"}):
        run_app(app, use, WIDE)
    assert copied == ["threads = 2"]


def test_a_server_that_the_program_starts_names_the_origins_that_the_user_knows(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGELLM_HOME", str(own_home))
    monkeypatch.setenv("EDGELLM_PORT", "0")
    settings = load_settings(system_config=own_home / "none")
    app = EdgeApp(settings, Launcher(settings), start="settings")
    shown: dict[str, SettingOrigin] = {}

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: app.connection.is_connected, "the server")
        shown.update(await app.connection.get("/api/edgellm/settings", dict[str, SettingOrigin]))

    run_app(app, use)
    expected = {name: row["origin"] for name, row in Cli(own_home).json("config", "show").items()}
    folders = ("store", "state", "system_store", "config_folder", "cache_folder", "runtime_folder")
    assert {name: shown[name].origin for name in folders} == {name: expected[name] for name in folders}
    assert shown["store"].value == str(own_home / "store")


@pytest.mark.parametrize("mode", ["jobs", "device", "logs", "settings"])
def test_a_server_of_another_version_is_said(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = BackendError("the server answers in another form", hint="restart it")
    app = recorded_app(
        tmp_path,
        {
            "/api/edgellm/settings": error,
            "/api/edgellm/jobs/stream": [error],
            "/api/edgellm/log/stream": [error],
            "/api/edgellm/statistics/stream": [error],
        },
        start=mode,
    )
    said: list[str] = []
    monkeypatch.setattr(app, "notify", lambda text, **_options: said.append(text))

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: said, "the error")

    run_app(app, use)
    assert said[0] == "the server answers in another form\nrestart it"
