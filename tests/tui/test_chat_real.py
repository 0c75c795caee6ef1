"""Chat over the real server with a small model, in the app and in a real terminal."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from chat_rig import chat_app, pane_of, texts
from terminal_rig import terminal
from textual.pilot import Pilot
from tui_rig import app_of, run_app, settings_of, wait_until

from cli_process import Cli
from edgellm.tui.app import EdgeApp
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.opening import ChatStart, Opening
from server_process import RunningServer

NAME = "tiny-llm:raspberrypi5-q4_k_m"


def kept(home: Path) -> Conversations:
    return Conversations(home / "state" / "conversations")


def opening(**sampling: object) -> ChatStart:
    return ChatStart(None, Opening(model="tiny-llm", sampling=dict(sampling)))


async def ready(pilot: Pilot[None], app: EdgeApp) -> None:
    await wait_until(pilot, lambda: app.connection.is_connected and app.screen.query("#prompt"), "the chat")


async def answered(pilot: Pilot[None], app: EdgeApp, messages: int) -> None:
    pane = pane_of(app)
    await wait_until(pilot, lambda: len(pane.conversation) >= messages and not pane.is_answering, "the answer")


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


def test_a_server_that_is_killed_in_the_middle_costs_nothing(own_home: Path) -> None:
    app = chat_app(settings_of(own_home), opening(ignore_eos=True, max_tokens=400))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane = pane_of(app)
        server = app.connection.server
        assert server is not None
        pane.send("Hello")
        pane.prompt.put("typed meanwhile")
        await wait_until(pilot, lambda: pane.session.conversation.leaf is not None, "the message")
        os.kill(server.pid, signal.SIGKILL)
        await wait_until(pilot, lambda: not pane.is_answering, "the end of the answer")
        assert texts(pane.conversation)[0] == "Hello"
        assert pane.prompt.text == "typed meanwhile"
        await wait_until(
            pilot, lambda: app.connection.is_connected and app.connection.server != server, "another server"
        )
        await pilot.press("ctrl+g")
        await wait_until(pilot, lambda: pane.is_answering or len(pane.conversation) == 2, "the next answer")
        await answered(pilot, app, 2)
        last = pane.conversation.last()
        assert last is not None
        assert last.finish == "length"
        assert pane.prompt.text == "typed meanwhile"

    run_app(app, use)


def test_it_answers_while_another_model_loads(own_home: Path, own_server: RunningServer) -> None:
    Cli(own_home).run("cp", "tiny-llm", "other")
    app = chat_app(settings_of(own_home), opening(max_tokens=8))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane = pane_of(app)
        pane.send("Hello")
        await answered(pilot, app, 2)
        loading = app.run_worker(app.connection.post("/api/edgellm/load", {"model": "other"}, dict))
        pane.send("And now?")
        await answered(pilot, app, 4)
        await loading.wait()

    run_app(app, use)


def test_two_programs_talk_at_the_same_time(own_home: Path, own_server: RunningServer) -> None:
    first, second = (chat_app(settings_of(own_home), opening(max_tokens=8)) for _ in range(2))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, first)
        pane_of(first).send("I am the first")

        async def other(pilot: Pilot[None]) -> None:
            await ready(pilot, second)
            pane_of(second).send("I am the second")
            await answered(pilot, second, 2)
            assert pane_of(second).conversation.id != pane_of(first).conversation.id

        async with second.run_test(size=(80, 24)) as beside:
            await other(beside)
        await answered(pilot, first, 2)

    run_app(first, use)
    assert {each.title for each in kept(own_home).summaries()} == {"I am the first", "I am the second"}


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
