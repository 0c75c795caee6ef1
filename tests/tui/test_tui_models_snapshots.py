"""What the mode Models and its dialogs look like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from canned import CannedApp
from model_answers import DEVICES, FIT, LOADED, MODELS, SHOWN
from textual.pilot import Pilot
from textual.widgets import Input
from tui_rig import NARROW, WIDE, text_of, wait_until

from edgellm.errors import BackendError, DoesNotFitError, NetworkError, NotFoundError

ANSWERS = {
    "/api/edgellm/models": MODELS,
    "/api/edgellm/ps": LOADED,
    "/api/edgellm/show": SHOWN,
    "/api/edgellm/devices": DEVICES,
    "/api/edgellm/fit": FIT,
}
EMPTY = ANSWERS | {"/api/edgellm/models": MODELS | {"models": []}}
SIZES = pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
Before = Callable[[Pilot[Any]], Awaitable[None]]


def is_settled(shown: str) -> bool:
    """True once the list is there, and how far the model is that loads."""
    return "free for models" in shown and ("loading 42%" in shown or "loading" not in shown)


def shows(text: str, *keys: str) -> Before:
    """Press ``keys``, and wait until the terminal shows ``text``."""

    async def before(pilot: Pilot[Any]) -> None:
        await wait_until(pilot, lambda: is_settled(text_of(pilot.app)), "the list")
        await pilot.press(*keys)
        # the modes too: what lies below a dialog is drawn a moment after it
        await wait_until(pilot, lambda: text in text_of(pilot.app) and "1 Models" in text_of(pilot.app), text)

    return before


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light", "ansi"])
def test_the_table(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    app = CannedApp(ANSWERS, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=shows("loading 42%"))


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_an_empty_store_says_what_to_do(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    assert snap_compare(CannedApp(EMPTY, theme=theme), terminal_size=size, run_before=shows("Press a"))


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_details(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    app = CannedApp(ANSWERS, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=shows("largest recipe", "enter"))


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_deleting_asks(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    app = CannedApp(ANSWERS, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=shows("Type assistant", "x"))


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("A second name for", "y"),
        ("Another name for", "n"),
        ("`edgellm import` reads", "e"),
        ("Load it anyway", "space"),
    ],
    ids=["copy", "rename", "export", "does-not-fit"],
)
def test_dialogs(
    snap_compare: Any, size: tuple[int, int], theme: str, text: str, keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/me"))
    refused = DoesNotFitError(
        "coder:raspberrypi5-q5_k_m with a context of 4096 needs 6.0 GiB; models may take 4.0 GiB here",
        hint="load it with a context of 1024, close other programs, or force the load",
    )
    app = CannedApp(ANSWERS | {"/api/edgellm/load": refused}, theme=theme)

    async def before(pilot: Pilot[Any]) -> None:
        await shows(text, "down", keys)(pilot)
        for field in app.screen.query(Input):
            field.cursor_blink = False

    assert snap_compare(app, terminal_size=size, run_before=before)


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_source_that_is_none_is_said(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    missing = NotFoundError("the hub has no acme/nothing", hint="look for its name on the hub's site")
    app = CannedApp(ANSWERS | {"/api/edgellm/fit": missing}, theme=theme)

    async def before(pilot: Pilot[Any]) -> None:
        await wait_until(pilot, lambda: is_settled(text_of(app)), "the list")
        await pilot.press("a")
        await wait_until(pilot, lambda: "Raspberry Pi 5, 8.0 GiB" in text_of(app), "the devices")
        app.screen.query_one("#source", Input).value = "acme/nothing"
        app.screen.query_one("#source", Input).cursor_blink = False
        await wait_until(pilot, lambda: "the hub has no acme/nothing" in text_of(app), "the error")

    assert snap_compare(app, terminal_size=size, run_before=before)


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_keys(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    app = CannedApp(ANSWERS, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=shows("Details", "question_mark"))


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_adding_a_model_shows_what_fits(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    app = CannedApp(ANSWERS, theme=theme)

    async def before(pilot: Pilot[Any]) -> None:
        await wait_until(pilot, lambda: is_settled(text_of(app)), "the list")
        await pilot.press("a")
        await wait_until(pilot, lambda: app.screen.query("#source"), "the assistant")
        source = app.screen.query_one("#source", Input)
        source.cursor_blink = False  # while the cursor is there
        await wait_until(pilot, lambda: "Raspberry Pi 5, 8.0 GiB" in text_of(app), "the devices")
        source.value = "acme/assistant"
        await wait_until(pilot, lambda: "Q4_K_M chosen" in text_of(app), "the reason")
        await wait_until(pilot, lambda: not app.screen.query_one("#yes").disabled, "the fit")
        await wait_until(pilot, lambda: "INT4_32_M  ONNX" in text_of(app), "columns as wide as what is in them")

    assert snap_compare(app, terminal_size=size, run_before=before)


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_what_goes_wrong_is_said_with_its_way_out(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    broken = BackendError("the store cannot be read: index.json is torn", hint="edgellm doctor says more")
    app = CannedApp(ANSWERS | {"/api/edgellm/models": broken}, theme=theme)

    async def before(pilot: Pilot[Any]) -> None:
        await wait_until(pilot, lambda: "edgellm doctor" in text_of(app), "the error")

    assert snap_compare(app, terminal_size=size, run_before=before)


@SIZES
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_lost_server_is_said_and_the_list_stays(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    app = CannedApp(ANSWERS, theme=theme)

    async def before(pilot: Pilot[Any]) -> None:
        await shows("5 models")(pilot)
        app.canned.lose(NetworkError("the server unix:/run/edgellm.sock (process 4711) has ended"))
        await shows("has ended")(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)
