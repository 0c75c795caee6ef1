"""A theme that is chosen in the palette is that of the next time too."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from canned import CannedApp
from terminal_rig import terminal
from textual.pilot import Pilot
from textual.theme import BUILTIN_THEMES, Theme
from tui_rig import run_app, settings_of, text_of, told, wait_until

from edgellm.settings import SettingsWithOrigin, ThemeName, load_settings, settings_rows, with_setting
from edgellm.settings_file import keep_setting
from edgellm.tui.app import EdgeApp
from edgellm.tui.themes import THEMES, choice_of, pick_theme


def app_over(home: Path) -> CannedApp:
    """An app that keeps its settings in ``home``."""
    settings = settings_of(home)
    rows = {name: {"value": value, "origin": origin} for name, value, origin in settings_rows(settings)}
    app = CannedApp({"/api/edgellm/settings": rows}, theme=settings.values.theme, start="settings")
    app.settings = settings
    return app


async def choose(pilot: Pilot[None], app: EdgeApp, name: str) -> None:
    await wait_until(pilot, lambda: "chat_history" in text_of(app), "the settings")
    await pilot.press("ctrl+p", *"theme")
    await wait_until(pilot, lambda: "Change the current theme" in text_of(app), "the command")
    await pilot.press("down", "enter")
    await wait_until(pilot, lambda: "Colours, kept" in text_of(app), "the themes")
    await pilot.press(*name)
    await wait_until(pilot, lambda: name in text_of(app).replace("Search", ""), "the name")
    await pilot.press("down", "enter")
    await wait_until(pilot, lambda: app.theme == name, "the theme")


def test_it_is_there_after_a_restart_with_its_origin(tmp_path: Path) -> None:
    path = tmp_path / "config" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("# mine\nchat_history = false\n")
    first = app_over(tmp_path)

    async def use(pilot: Pilot[None]) -> None:
        await choose(pilot, first, "nord")
        await wait_until(pilot, lambda: first.settings.values.theme == "nord", "the settings")
        await pilot.press("r")
        await wait_until(pilot, lambda: "nord" in text_of(first), "the row")

    run_app(first, use, (140, 50))
    assert path.read_text() == '# mine\nchat_history = false\ntheme = "nord"\n'
    second = app_over(tmp_path)

    async def look(pilot: Pilot[None]) -> None:
        assert second.theme == "nord"
        await wait_until(pilot, lambda: "nord" in text_of(second), "the row")

    run_app(second, look, (140, 50))
    assert second.settings.origin["theme"] == str(path)


def test_what_comes_first_is_said_and_so_is_a_folder_that_is_none(tmp_path: Path) -> None:
    app = app_over(tmp_path)
    app.settings = with_setting(app.settings, "theme", "light", "--theme")

    async def use(pilot: Pilot[None]) -> None:
        await choose(pilot, app, "nord")
        await wait_until(pilot, lambda: "--theme comes first" in told(app), "what is said")
        (tmp_path / "config" / "config.toml").unlink()
        (tmp_path / "config").rmdir()
        (tmp_path / "config").write_text("a file")
        app.choose_theme("dracula")
        await wait_until(pilot, lambda: "the theme is not kept" in told(app), "the error")
        assert app.theme == "dracula"

    run_app(app, use, (140, 50))


def test_a_theme_that_the_setting_does_not_know_is_shown_and_not_kept(tmp_path: Path) -> None:
    app = app_over(tmp_path)

    async def use(pilot: Pilot[None]) -> None:
        app.register_theme(Theme(name="of-later", primary="#102030"))
        app.choose_theme("of-later")
        await wait_until(pilot, lambda: "not kept: of-later is none of the names" in told(app), "what is said")
        assert app.theme == "of-later"

    run_app(app, use, (140, 50))
    assert not (tmp_path / "config" / "config.toml").exists()
    assert app.settings.values.theme == "auto"


def test_of_two_choices_at_once_the_last_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_over(tmp_path)
    begun: list[str] = []
    go_on = threading.Event()

    def keep(settings: SettingsWithOrigin, name: str, value: str) -> tuple[SettingsWithOrigin, str]:
        begun.append(value)
        if value == "nord":
            assert go_on.wait(60)
        return keep_setting(settings, name, value)

    monkeypatch.setattr("edgellm.settings_file.keep_setting", keep)

    async def use(pilot: Pilot[None]) -> None:
        app.choose_theme("nord")
        app.choose_theme("dracula")
        await wait_until(pilot, lambda: begun, "the first")
        for _ in range(5):
            await pilot.pause()
        assert begun == ["nord"]
        go_on.set()
        await wait_until(pilot, lambda: app.settings.values.theme == "dracula", "the last")

    try:
        run_app(app, use, (140, 50))
    finally:
        go_on.set()
    assert (tmp_path / "config" / "config.toml").read_text() == 'theme = "dracula"\n'


def test_every_theme_has_a_name_among_the_settings(tmp_path: Path) -> None:
    themes = {theme.name for theme in THEMES} | BUILTIN_THEMES.keys()
    assert {choice_of(name) for name in themes} == set(get_args(ThemeName)) - {"auto"}
    assert all(pick_theme(choice_of(name), {}) == name for name in themes)
    found = load_settings(
        environ={"EDGELLM_HOME": str(tmp_path), "EDGELLM_THEME": "nord"}, system_config=tmp_path / "none"
    )
    assert msgspec.to_builtins(found.values)["theme"] == "nord"


def test_a_theme_of_the_command_line_that_is_none_is_refused(tmp_path: Path) -> None:
    with terminal(tmp_path, "tui", "--theme", "mauve") as window:
        assert window.end() == 2
        assert "there is no theme 'mauve'" in window.text
        assert "nord" in window.text
