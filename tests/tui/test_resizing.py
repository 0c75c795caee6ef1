"""Screens and dialogs in a terminal that becomes small and large again: nothing is lost or out of sight."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from canned import CannedApp
from chat_rig import RealChats, pane_of
from model_answers import DEVICES, FIT, LOADED, MODELS, SHOWN
from recorded import StoppedClock, recorded_app
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input, TextArea
from tui_rig import NARROW, WIDE, run_app, text_of, wait_until
from watch_rig import BUSY_LOG, DEVICE, JOBS, LOG, SETTING, SETTINGS, busy_jobs, busy_statistics, running_job, shown

from edgellm.api.jobs import JobChanges
from edgellm.errors import DoesNotFitError
from edgellm.tui.app import EdgeApp
from edgellm.tui.modals.confirm import Confirm

ANSWERS = {
    "/api/edgellm/models": MODELS,
    "/api/edgellm/ps": LOADED,
    "/api/edgellm/show": SHOWN,
    "/api/edgellm/devices": DEVICES,
    "/api/edgellm/fit": FIT,
    "/api/edgellm/load": DoesNotFitError("coder needs 6.1 GiB, 3.4 GiB are free", hint="take a smaller recipe"),
}
TYPED = "typed before the window changed"
Before = Callable[[Pilot[Any]], Awaitable[None]]


async def dialog(pilot: Pilot[Any]) -> None:
    await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1 and pilot.app.screen.is_mounted, "a dialog")
    await pilot.pause()


def box_of(app: EdgeApp) -> Widget:
    """The dialog itself."""
    (box,) = [each for each in app.screen.children if not (each.id or "").startswith("textual-")]
    return box


def out_of_sight(app: EdgeApp) -> list[str]:
    """The parts of the dialog that is open, and of its contents, which the terminal does not show and which no
    scrolling brings there."""
    box = box_of(app)
    found = [] if app.screen.region.contains_region(box.region) else [f"{box} {box.region}"]
    for widget in box.walk_children(Widget):
        if not all(each.display for each in widget.ancestors_with_self if isinstance(each, Widget)):
            continue  # of a tab that is not chosen
        can_scroll = any(each.show_vertical_scrollbar for each in widget.ancestors if isinstance(each, Widget))
        if widget.display and widget.region.area and not can_scroll:
            if not box.region.contains_region(widget.region):
                found.append(f"{widget} {widget.region} of {box.region}")
        elif widget.display and not can_scroll and widget.can_focus:
            found.append(f"{widget} has no room")
    return found


async def resize(pilot: Pilot[Any], size: tuple[int, int]) -> str:
    app = pilot.app
    await pilot.resize_terminal(*size)
    await wait_until(pilot, lambda: app.size == size, "the new size")
    last = ""

    def is_still() -> bool:
        nonlocal last
        before, last = last, text_of(app)
        return before == last and last.count("\n") == size[1] - 1

    await wait_until(pilot, is_still, "a picture that stays")
    return last


def said(picture: str) -> list[str]:
    """Its lines, without empty ones and the right edge with its scrollbar."""
    return [line for line in (each[:-3].rstrip() for each in picture.splitlines()) if line]


def check(app: EdgeApp, open_it: Before) -> None:
    """Large, small and large again with a dialog open: all of it is there each time, with what was typed."""

    async def use(pilot: Pilot[Any]) -> None:
        await open_it(pilot)
        for field in app.screen.query(Input):
            field.cursor_blink = False
            if field.display and not field.value and not app.screen.query("#source"):
                field.value = TYPED
        for area in app.screen.query(TextArea):
            area.cursor_blink = False
            area.load_text(TYPED)
        focused = app.focused
        values = [field.value for field in app.screen.query(Input)]
        before = await resize(pilot, WIDE)
        assert out_of_sight(app) == [], before
        small = await resize(pilot, NARROW)
        assert out_of_sight(app) == [], small
        assert [field.value for field in app.screen.query(Input)] == values
        assert [area.text for area in app.screen.query(TextArea)] == [TYPED] * len(app.screen.query(TextArea))
        assert app.focused is focused
        if focused is not None:
            assert app.screen.region.contains_region(focused.region)
        assert said(await resize(pilot, WIDE)) == said(before)

    run_app(app, use, WIDE)


MODEL_DIALOGS = {
    "details": ("enter",),
    "copy": ("y",),
    "rename": ("n",),
    "export": ("e",),
    "delete": ("x",),
    "add": ("a",),
    "keys": ("question_mark",),
    "does-not-fit": ("down", "space"),
}


@pytest.mark.parametrize("name", MODEL_DIALOGS)
def test_a_dialog_about_models(name: str) -> None:
    app = CannedApp(ANSWERS)

    async def open_it(pilot: Pilot[Any]) -> None:
        await wait_until(pilot, lambda: "loading 42%" in text_of(app), "the list")
        await pilot.press(*MODEL_DIALOGS[name])
        await dialog(pilot)
        assert isinstance(app.screen, Confirm) == (name in ("delete", "does-not-fit"))
        if name == "add":
            await wait_until(pilot, lambda: "Raspberry Pi 5, 8.0 GiB" in text_of(app), "the devices")
            app.screen.query_one("#source", Input).value = "acme/assistant"
            await wait_until(pilot, lambda: not app.screen.query_one("#yes").disabled, "the fit")
        if name == "details":
            await wait_until(pilot, lambda: "largest recipe" in text_of(app), "the reason")

    check(app, open_it)


@pytest.mark.parametrize(
    "name", ["parameters", "thinking", "system", "schema", "model", "attach", "rename", "export", "forget"]
)
def test_a_dialog_of_the_chat(chats: RealChats, name: str) -> None:
    app = chats.app(conversation=chats.write(["Hello", "there"]))

    async def open_it(pilot: Pilot[Any]) -> None:
        await wait_until(pilot, lambda: app.connection.is_connected and "there" in text_of(app), "the chat")
        app.screen.action_ask(name)  # type: ignore[attr-defined]
        await dialog(pilot)

    check(app, open_it)


@pytest.mark.parametrize("name", ["save", "delete"])
def test_a_dialog_about_jobs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgellm.tui.screens.jobs.time", StoppedClock())
    app = recorded_app(tmp_path, {JOBS: [busy_jobs(270), JobChanges([running_job(300)])]}, start="jobs")

    async def open_it(pilot: Pilot[Any]) -> None:
        await shown(pilot)
        await pilot.press("home", "down", "down", "w" if name == "save" else "delete")
        await dialog(pilot)

    check(app, open_it)


SCREENS: dict[str, dict[str, Any]] = {
    "jobs": {JOBS: [busy_jobs(270), JobChanges([running_job(300)])]},
    "device": {DEVICE: busy_statistics()},
    "logs": {LOG: BUSY_LOG},
    "settings": {SETTING: SETTINGS},
}


@pytest.mark.parametrize("mode", [*SCREENS, "models", "chat"])
def test_a_screen(mode: str, tmp_path: Path, chats: RealChats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgellm.tui.screens.jobs.time", StoppedClock())
    app: EdgeApp
    if mode == "models":
        app = CannedApp(ANSWERS)
    elif mode == "chat":
        app = chats.app(conversation=chats.write(["Hello", "word " * 200, "And?", "**the end**"]))
    else:
        app = recorded_app(tmp_path, SCREENS[mode], start=mode)

    async def use(pilot: Pilot[Any]) -> None:
        if mode == "models":
            await wait_until(pilot, lambda: "loading 42%" in text_of(app), "the list")
        elif mode == "chat":
            await wait_until(pilot, lambda: app.connection.is_connected and "the end" in text_of(app), "the chat")
            await wait_until(pilot, lambda: "26 " in text_of(app) or "Jan" in text_of(app), "the list")
            pane_of(app).prompt.put(TYPED)
        else:
            await shown(pilot)
        before = await resize(pilot, WIDE)
        small = await resize(pilot, NARROW)
        for text in ("1 Models", "6 Settings"):
            assert text in small
        footer = small.splitlines()[-1]
        assert "^p palette" in footer or "Quit" in footer, footer
        if mode == "chat":
            assert TYPED in small
            assert "the end" in small
        assert said(await resize(pilot, WIDE)) == said(before)

    run_app(app, use, WIDE)
