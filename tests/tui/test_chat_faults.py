"""Disks that are full and servers that die under a chat: nothing that was said, received or typed is lost."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from chat_rig import ENDLESS, TINY, RealChats, answered, chat_app, pane_of, ready, streams, texts
from terminal_rig import terminal
from textual.pilot import Pilot
from textual.widgets import Input
from tui_rig import WIDE, run_app, settings_of, text_of, wait_until

from edgellm.tui.chat.opening import ChatStart, Opening
from tmpfs import fill_rest, tmpfs


def free(disk: Path) -> None:
    """Somebody makes room."""
    (disk / "rest").unlink()


def test_a_disk_that_is_full_while_an_answer_comes_costs_nothing(
    chats: RealChats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgellm.tui.chat.view.pane._RETRY_S", 0.2)
    with tmpfs(chats.state, "size=512k") as disk:
        app = chats.app(ENDLESS, ignore_eos=True)
        shown: list[str] = []

        async def use(pilot: Pilot[None]) -> None:
            await ready(pilot, app)
            pane = pane_of(app)
            pane.send("Tell me all")
            await streams(pilot, app)
            fill_rest(disk)
            pane.prompt.put("typed on a full disk")
            await streams(pilot, app, 4096)  # more than a page that was begun has room for
            await pilot.press("escape")
            await answered(pilot, app, 2)
            await wait_until(pilot, lambda: "not saved: cannot save" in text_of(app), "what is said")
            shown.extend(texts(pane.conversation))
            assert pane.prompt.text == "typed on a full disk"
            free(disk)
            await wait_until(pilot, lambda: "not saved" not in text_of(app), "the next attempt to save")

        run_app(app, use, WIDE)
        (summary,) = chats.kept.summaries()
        conversation = chats.kept.open(summary.id)
        assert texts(conversation) == shown
        assert chats.kept.draft(conversation).text == "typed on a full disk"
        assert not list(disk.rglob("*.tmp"))
        chats.wait_idle()


def test_a_disk_that_is_full_from_the_first_word_on(chats: RealChats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgellm.tui.chat.view.pane._RETRY_S", 0.2)
    with tmpfs(chats.state, "size=64k") as disk:
        fill_rest(disk)
        app = chats.app(TINY, max_tokens=8)
        said: list[str] = []

        async def use(pilot: Pilot[None]) -> None:
            await ready(pilot, app)
            for number in (2, 4):
                pane_of(app).send("Hello")
                await answered(pilot, app, number)
            assert "not saved" in text_of(app)
            said.extend(texts(pane_of(app).conversation))
            free(disk)
            await wait_until(pilot, lambda: "not saved" not in text_of(app), "the next attempt to save")

        run_app(app, use, WIDE)
        (summary,) = chats.kept.summaries()
        assert texts(chats.kept.open(summary.id)) == said


def test_lines_say_once_that_nothing_is_saved_and_save_it_later(chats: RealChats) -> None:
    with (
        tmpfs(chats.state, "size=64k") as disk,
        terminal(chats.store_home, "chat", TINY, "--plain", "-n", "4", EDGELLM_STATE=str(chats.state)) as screen,
    ):
        screen.wait_for(">>> ")
        fill_rest(disk)
        screen.press("Hello\r")
        screen.wait_for("it is in memory, and saved with the next message")
        screen.wait_for("answer 4 at")
        free(disk)
        screen.press("And now\r")
        while screen.text.count(">>> ") < 3:  # before the prompt the terminal would keep the key for itself
            assert screen.read() or screen.process.poll() is None
        screen.press("\x04")
        assert screen.end() == 0
        assert screen.text.count("No space left") == 1
        assert "\nerror: cannot save the conversation" in screen.text  # on a line of its own
        (summary,) = chats.kept.summaries()
        assert texts(chats.kept.open(summary.id))[::2] == ["Hello", "And now"]


def test_an_export_onto_a_full_disk_says_so_and_leaves_no_part(chats: RealChats, tmp_path: Path) -> None:
    app = chats.app(conversation=chats.write(["Hello", "there " * 9000]))
    with tmpfs(tmp_path / "disk", "size=16k") as disk:

        async def use(pilot: Pilot[None]) -> None:
            await ready(pilot, app)
            app.screen.action_ask("export")  # type: ignore[attr-defined]
            await wait_until(pilot, lambda: app.screen.query("#hint"), "the question")
            app.screen.query_one("#text", Input).value = str(disk / "talk.md")
            await pilot.press("enter")
            await wait_until(pilot, lambda: "No space left on device" in text_of(app), "what is wrong")
            app.screen.query_one("#text", Input).value = str(tmp_path / "talk.md")
            await pilot.press("enter")
            await wait_until(pilot, lambda: (tmp_path / "talk.md").exists(), "the file elsewhere")

        run_app(app, use, WIDE)
        assert list(disk.iterdir()) == []


def test_a_server_that_is_killed_in_the_middle_of_an_answer_costs_nothing(two_models: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"  # where no server runs: the app starts one
    shutil.copytree(two_models / "store", home / "store")
    app = chat_app(settings_of(home), ChatStart(None, Opening(model=ENDLESS, sampling={"ignore_eos": True})))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane = pane_of(app)
        server = app.connection.server
        assert server is not None
        pane.send("Hello")
        came = await streams(pilot, app)
        pane.prompt.put("typed meanwhile")
        os.kill(server.pid, signal.SIGKILL)
        await answered(pilot, app, 2)
        shown = text_of(app)
        for text in ("interrupted", "Ctrl+G asks again, /continue goes on"):
            assert text in shown, text
        half = texts(pane.conversation)[1]
        assert half.startswith(came)
        assert pane.prompt.text == "typed meanwhile"
        await wait_until(
            pilot, lambda: app.connection.is_connected and app.connection.server != server, "another server"
        )
        pane.obey("continue", "")
        await streams(pilot, app, len(half) + 40)
        await pilot.press("escape")
        await answered(pilot, app, 2)
        assert texts(pane.conversation)[1].startswith(half)
        await pilot.press("ctrl+g")
        await streams(pilot, app)
        await pilot.press("escape")
        await answered(pilot, app, 2)
        assert "‹ 3/3 ›" in text_of(app)
        assert pane.prompt.text == "typed meanwhile"

    run_app(app, use, WIDE)
