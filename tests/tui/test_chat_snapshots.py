"""How the chat looks: both sizes, dark and light, empty, busy, in trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from chat_rig import ScriptedServer, pane_of, scripted_app, scripted_server, utc, write_conversation
from chat_texts import SAID
from textual.pilot import Pilot
from tui_rig import NARROW, WIDE, text_of, wait_until

from edgellm.errors import NoSpaceError
from edgellm.tui.app import EdgeApp
from edgellm.tui.chat.opening import Opening

Compare = Callable[..., bool]
Use = Callable[[Pilot[None], EdgeApp], Awaitable[None]]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path_factory.mktemp("s")) as script:
        yield script


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One time zone, no cursor that blinks, colours whatever the terminal of the tests is."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    with utc():
        yield


SIZES = pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "120x40"])
THEMES = pytest.mark.parametrize("theme", ["edgellm-dark", "edgellm-light"])


def look(app: EdgeApp, compare: Compare, use: Use, size: tuple[int, int], theme: str = "edgellm-dark") -> bool:
    async def prepare(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: app.connection.is_connected and app.screen.query("#prompt"), "the chat")
        pane_of(app).prompt.cursor_blink = False
        app.theme = theme
        await use(pilot, app)
        await pilot.pause()

    return compare(app, terminal_size=size, run_before=prepare)


def conversation_app(tmp_path: Path, server: ScriptedServer, **settings: object) -> EdgeApp:
    id = write_conversation(tmp_path / "home", SAID, **settings)
    return scripted_app(tmp_path / "home", server, Opening(conversation=id))


async def nothing(_pilot: Pilot[None], _app: EdgeApp) -> None:
    """It looks so at once."""


async def shown(pilot: Pilot[None], app: EdgeApp) -> None:
    await wait_until(pilot, lambda: "You are welcome." in text_of(app), "the conversation")


@THEMES
@SIZES
def test_empty(
    tmp_path: Path, server: ScriptedServer, snap_compare: Compare, size: tuple[int, int], theme: str
) -> None:
    async def use(pilot: Pilot[None], app: EdgeApp) -> None:
        if size == WIDE:
            await wait_until(pilot, lambda: "No conversations yet." in text_of(app), "the list")

    assert look(scripted_app(tmp_path / "home", server), snap_compare, use, size, theme)


@pytest.mark.parametrize("theme", ["edgellm-dark", "edgellm-light", "ansi-dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "120x40"])
def test_a_conversation(
    tmp_path: Path, server: ScriptedServer, snap_compare: Compare, size: tuple[int, int], theme: str
) -> None:
    app = conversation_app(tmp_path, server, sampling={"temperature": 0.5}, system="Be brief.")

    async def use(pilot: Pilot[None], app: EdgeApp) -> None:
        await shown(pilot, app)
        pane_of(app).transcript.action_choose(-1)

    assert look(app, snap_compare, use, size, theme)


@THEMES
@SIZES
def test_busy(tmp_path: Path, server: ScriptedServer, snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    async def use(pilot: Pilot[None], app: EdgeApp) -> None:
        await shown(pilot, app)
        pane_of(app).again()
        await wait_until(pilot, lambda: len(server.requests) == 1, "the request")
        server.start()
        server.think("The user is polite.")
        server.say("With **pleasure**, and ")
        await wait_until(pilot, lambda: "With pleasure, and" in text_of(app), "the words")
        await wait_until(pilot, lambda: "answering" in text_of(app), "the status")
        pane_of(app).prompt.put("typed meanwhile")

    assert look(conversation_app(tmp_path, server), snap_compare, use, size, theme)


@THEMES
@SIZES
def test_in_trouble(
    tmp_path: Path,
    server: ScriptedServer,
    snap_compare: Compare,
    size: tuple[int, int],
    theme: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(pilot: Pilot[None], app: EdgeApp) -> None:
        await shown(pilot, app)
        server.refuse(507, "DoesNotFitError", "thinker:pi needs 5.1 GiB, 3.4 GiB are free", "take a smaller model")
        pane_of(app).again()
        await wait_until(pilot, lambda: "take a smaller model" in text_of(app), "the error")
        problem = NoSpaceError("cannot save the conversation: No space left on device")
        monkeypatch.setattr(type(pane_of(app).conversation), "problem", problem)
        pane_of(app).show_status()

    assert look(conversation_app(tmp_path, server), snap_compare, use, size, theme)


@THEMES
@SIZES
@pytest.mark.parametrize(
    "dialog", ["parameters", "thinking", "system", "schema", "model", "attach", "rename", "export", "forget"]
)
def test_dialogs(
    tmp_path: Path, server: ScriptedServer, snap_compare: Compare, dialog: str, size: tuple[int, int], theme: str
) -> None:
    async def use(pilot: Pilot[None], app: EdgeApp) -> None:
        await shown(pilot, app)
        below = app.screen
        app.screen.action_ask(dialog)  # type: ignore[attr-defined]
        await wait_until(pilot, lambda: app.screen is not below and app.screen.query(".dialog"), "the dialog")

    assert look(conversation_app(tmp_path, server, sampling={"top_k": 20}), snap_compare, use, size, theme)


@THEMES
def test_the_list_over_a_narrow_screen(
    tmp_path: Path, server: ScriptedServer, snap_compare: Compare, theme: str
) -> None:
    async def use(pilot: Pilot[None], app: EdgeApp) -> None:
        await shown(pilot, app)
        await pilot.press("ctrl+o")
        await wait_until(pilot, lambda: "thinker:pi" in text_of(app) and "· 4 ·" in text_of(app), "the list")

    assert look(conversation_app(tmp_path, server), snap_compare, use, NARROW, theme)
