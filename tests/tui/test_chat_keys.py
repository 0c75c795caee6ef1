"""Keys of the chat screen: where they go, and what comes of those that follow each other fast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_rig import ScriptedServer, pane_of, scripted_app, scripted_server, write_conversation
from textual.pilot import Pilot
from tui_rig import NARROW, WIDE, run_app, text_of, told, wait_until

from edgellm.tui.chat.opening import Opening


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path_factory.mktemp("s")) as script:
        yield script


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_tab_goes_to_the_messages_and_i_back(home: Path, server: ScriptedServer, size: tuple[int, int]) -> None:
    app = scripted_app(home, server, Opening(conversation=write_conversation(home, ["Who are you?", "A model."])))

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: app.connection.is_connected and "A model." in text_of(app), "the chat")
        await pilot.press("tab")
        assert app.focused is pane_of(app).transcript
        await pilot.press("i")
        assert app.focused is pane_of(app).prompt

    run_app(app, use, size)


def test_tab_completes_paths(
    home: Path, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("report one.txt", "report two.txt", "other.txt"):
        (tmp_path / name).write_text("text")
    monkeypatch.chdir(tmp_path)
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: app.connection.is_connected and app.screen.query("#prompt"), "the chat")
        prompt = pane_of(app).prompt
        await pilot.press(*"/att", "tab")
        assert prompt.text == "/attach "
        await pilot.press("r", "tab")
        assert prompt.text == "/attach report "
        await pilot.press("tab")
        await wait_until(pilot, lambda: "report one.txt  report two.txt" in told(app), "the choices")
        await pilot.press("t", "tab", "enter")
        await wait_until(pilot, lambda: "report two.txt (4 B)" in text_of(app), "what is attached")
        await pilot.press(*"/system", "space", "x", "tab")
        assert app.focused is prompt  # nothing is known of it, and it is not left

    run_app(app, use, WIDE)
