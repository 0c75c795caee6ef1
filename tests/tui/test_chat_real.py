"""Chat over the real server with a small model, in the app and in a real terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from chat_rig import TINY as NAME
from chat_rig import answered, chat_app, pane_of, ready
from terminal_rig import terminal
from textual.pilot import Pilot
from tui_rig import app_of, run_app, settings_of, wait_until

from edgellm.tui.app import EdgeApp
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.opening import ChatStart, Opening
from server_process import RunningServer


def kept(home: Path) -> Conversations:
    return Conversations(home / "state" / "conversations")


def opening(**sampling: object) -> ChatStart:
    return ChatStart(None, Opening(model="tiny-llm", sampling=dict(sampling)))


def test_a_conversation_is_answered_kept_and_gone_on_with(own_home: Path, own_server: RunningServer) -> None:
    settings = settings_of(own_home)
    for messages in (2, 4):
        app = chat_app(settings, opening(max_tokens=12) if messages == 2 else ChatStart(None, Opening(go_on=True)))

        async def use(pilot: Pilot[None], app: EdgeApp = app, messages: int = messages) -> None:
            await ready(pilot, app)
            pane_of(app).send("Hello")
            await answered(pilot, app, messages)
            last = pane_of(app).conversation.last()
            assert last is not None
            assert (last.role, last.model, last.finish) == ("assistant", NAME, "length")
            assert last.stats is not None
            assert last.stats.generated_tokens == 12
            assert last.context == 512

        run_app(app, use)
    (summary,) = kept(own_home).summaries()
    assert summary.messages == 4


def test_a_conversation_longer_than_the_context_goes_on(own_home: Path, own_server: RunningServer) -> None:
    app = chat_app(settings_of(own_home), opening(max_tokens=16, seed=1))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane = pane_of(app)
        for number in range(6):
            pane.send(f"Question {number}: " + "why is it so and not otherwise? " * 12)
            await answered(pilot, app, 2 * number + 2)
            assert len(pane.conversation) == 2 * number + 2
        last = pane.conversation.last()
        assert last is not None
        assert last.sent_from != pane.conversation.message_ids[0]
        assert pane.session.dropped

    run_app(app, use)


def test_run_in_the_list_of_models_opens_a_chat(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: app.connection.is_connected, "the connection")
        app.open_chat(NAME)
        await wait_until(pilot, lambda: app.current_mode == "chat" and app.screen.query("#prompt"), "the chat")
        await wait_until(pilot, lambda: pane_of(app).conversation.settings.model == NAME, "the model")

    run_app(app, use)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_in_a_terminal_from_the_first_key_to_the_last(own_home: Path, size: tuple[int, int]) -> None:
    with terminal(own_home, "chat", "tiny-llm", "-n", "8", size=size) as screen:
        screen.wait_for("Say something")
        screen.press("Hello there\r")
        screen.wait_for("cut off at")
        screen.resize(60, 20)
        screen.press("/info\r")
        screen.wait_for("messages  2")
        screen.press("/set top_k 5\r/bye\r")  # typed faster than it is read
        assert screen.end() == 0
        assert screen.attributes == screen.before
        assert "Traceback" not in screen.text
    (summary,) = kept(own_home).summaries()
    assert (summary.title, summary.messages) == ("Hello there", 2)


def test_a_kill_in_the_middle_of_typing_costs_nothing(own_home: Path) -> None:
    with terminal(own_home, "chat", "tiny-llm") as screen:
        screen.wait_for("Say something")
        screen.press("half a thought")
        screen.wait_for("half a thought")
        screen.process.kill()
        screen.process.wait()
    with terminal(own_home, "chat") as screen:
        screen.wait_for("half a thought")
        screen.press("\x11")
        assert screen.end() == 0


def test_no_history_on_the_screen_leaves_nothing(own_home: Path) -> None:
    with terminal(own_home, "chat", "tiny-llm", "-n", "4", "--no-history") as screen:
        screen.wait_for("not kept")
        screen.press("secret words\r")
        screen.wait_for("cut off at")
        screen.press("\x11")
        assert screen.end() == 0
    files = [path for path in own_home.rglob("*") if path.is_file() and "store" not in path.parts]
    assert not [path for path in files if b"secret words" in path.read_bytes()]
