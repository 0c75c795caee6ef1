"""Chat on the screen over a real server: what is typed, what is kept, sizes and widths."""

from __future__ import annotations

from pathlib import Path

import pytest
from chat_rig import TINY, RealChats, answered, chat_app, own_settings, pane_of, ready, texts, type_text
from textual import events
from textual.pilot import Pilot
from tui_rig import WIDE, run_app, text_of, told, wait_until

from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.opening import ChatStart, Opening
from edgellm.tui.chat.records import ChatSettings
from server_process import RunningServer


def test_what_was_typed_is_there_after_a_crash(chats: RealChats) -> None:
    crashed = chats.app()
    folder = chats.state / "conversations"

    async def type_only(pilot: Pilot[None]) -> None:
        await ready(pilot, crashed)
        await type_text(pilot, "not sent\nyet")
        files = {path.suffix: path.read_text() for path in folder.iterdir()}
        assert files[".draft"] == "not sent\nyet"

    run_app(crashed, type_only)
    app = chat_app(own_settings(chats.store_home, chats.state))

    async def look(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        assert pane_of(app).prompt.text == "not sent\nyet"
        pane_of(app).prompt.put("")
        await pilot.pause()

    run_app(app, look)
    assert [path.name for path in folder.iterdir()] == ["index.json"]


@pytest.mark.parametrize("command", ["/new", "/load Hello", "/clear"])
def test_a_command_is_no_draft_of_the_conversation_that_it_leaves(chats: RealChats, command: str) -> None:
    chats.write(["Hello", "there"])
    app = chats.app()

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        left = pane_of(app).conversation
        await type_text(pilot, command)
        await pilot.press("enter")
        await wait_until(pilot, lambda: pane_of(app).conversation is not left, "another conversation")
        await pilot.pause()
        assert pane_of(app).prompt.text == ""

    run_app(app, use)
    assert [each.title for each in chats.kept.summaries()] == ["Hello"]
    assert not list(chats.state.rglob("*.draft"))


def test_a_conversation_that_another_terminal_has_open_is_left_to_it(chats: RealChats) -> None:
    conversation = chats.kept.begin(ChatSettings(model=TINY))
    conversation.add("user", "About cats")  # and is held open here, as by another program
    app = chats.app(conversation=conversation.id, max_tokens=4)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await wait_until(pilot, lambda: "open in another program" in text_of(app), "the message")
        pane_of(app).obey("model", TINY)
        pane_of(app).send("Hello")
        await answered(pilot, app, 2)

    run_app(app, use)
    assert texts(conversation) == ["About cats"]
    conversation.close()
    assert len(chats.kept.summaries()) == 2


def test_without_history_nothing_is_on_the_disk(chats: RealChats) -> None:
    app = chats.app(max_tokens=4)
    assert app.chat_start is not None
    app.chat_start = app.chat_start._replace(conversations=Conversations(None))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane_of(app).send("Hello")
        await answered(pilot, app, 2)
        assert "not kept" in text_of(app)
        await type_text(pilot, "typed")

    run_app(app, use)
    assert not (chats.state / "conversations").exists()


def test_what_is_typed_faster_than_it_is_read_arrives_in_order(chats: RealChats) -> None:
    app = chats.app(max_tokens=4)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        keys = [*"/set", "space", *"top_k", "space", "5", "enter", *"one", "enter", *"two", "enter", *"three"]
        prompt = pane_of(app).prompt
        for key in keys:
            character = {"space": " ", "enter": "\r"}.get(key, key)
            prompt.post_message(events.Key({"_": "underscore", "/": "slash"}.get(key, key), character))
        await wait_until(pilot, lambda: prompt.text == "twothree", "what was not sent")
        await answered(pilot, app, 2)
        conversation = pane_of(app).conversation
        assert texts(conversation)[0] == "one"
        assert conversation.settings.sampling == {"max_tokens": 4, "top_k": 5}

    run_app(app, use)


def test_history_goes_through_what_was_said(chats: RealChats) -> None:
    app = chats.app(conversation=chats.write(["one", "ok", "two", "ok"]))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        prompt = pane_of(app).prompt
        await type_text(pilot, "mine")
        for shown in ("two", "one", "one"):
            await pilot.press("up")
            assert prompt.text == shown
        await pilot.press("down", "down")
        assert prompt.text == "mine"

    run_app(app, use)


@pytest.mark.parametrize("size", [(20, 6), (80, 24), (200, 60)])
def test_any_size_of_terminal_will_do(chats: RealChats, size: tuple[int, int]) -> None:
    text = "# Title\n\n" + "word " * 300 + "\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n- two\n"
    app = chats.app(conversation=chats.write(["Hello", text]), max_tokens=4)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        for width, height in (size, (120, 40), (30, 10), size):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            assert pane_of(app).transcript.is_following
        pane_of(app).send("More")
        await pilot.resize_terminal(120, 40)
        await answered(pilot, app, 4)
        await pilot.resize_terminal(*size)
        assert pane_of(app).transcript.is_following
        await pilot.press("ctrl+o")
        await pilot.resize_terminal(*size)
        await pilot.pause()

    run_app(app, use, (90, 30))


@pytest.mark.parametrize("typed", [False, True], ids=["at-the-start", "as-a-command"])
def test_a_model_that_is_not_there_is_said_at_once_and_others_are_offered(
    chats: RealChats, chat_server: RunningServer, typed: bool
) -> None:
    with chat_server.client() as client:  # those in memory would stand in front
        while loaded := client.get("/api/edgellm/ps").json():
            client.post("/api/edgellm/stop", json={"model": loaded[0]["name"]})
    app = chats.app(TINY if typed else "nope")

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: app.connection.is_connected and app.screen_stack[0].query("#prompt"), "it")
        if typed:
            pane_of(app).prompt.put("/model nope")
            await pilot.press("enter")
        await wait_until(pilot, lambda: "which one?" in text_of(app), "the models")
        assert "there is no model 'nope': which one?" in text_of(app)
        await pilot.press("end", "enter")
        await wait_until(pilot, lambda: app.screen.query("#prompt"), "the end of the dialog")
        assert "the store has endless:raspberrypi5-q8_0, tiny-llm:" in " ".join(text_of(app).split())
        assert pane_of(app).conversation.settings.model == TINY

    run_app(app, use)


def test_an_empty_store_is_said_with_where_a_model_is_added(
    empty_server: RunningServer, empty_home: Path, tmp_path: Path
) -> None:
    start = ChatStart(None, Opening(model="nope"))
    app = chat_app(own_settings(empty_home, tmp_path / "state"), start)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        said = "there is no model 'nope': the store has no model"
        await wait_until(pilot, lambda: said in text_of(app), "the message")
        assert "`edgellm pull OWNER/MODEL` fetches one" in text_of(app)
        assert not app.screen.query("#choices")
        await pilot.press("ctrl+l")
        await wait_until(pilot, lambda: "in the mode Models" in told(app), "the way out")

    run_app(app, use, WIDE)


@pytest.mark.parametrize("before", [0, 30], ids=["without-scrollbar", "with-scrollbar"])
def test_no_column_of_a_text_is_lost(chats: RealChats, before: int) -> None:
    said = ["Hello", "Hi", *(f"before {number}" for number in range(2 * before)), "§" * 300, "¶" * 300]
    app = chats.app(conversation=chats.write(said))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane_of(app).tell("¤" * 200)
        for width in (60, 80, 99, 100, 101, 120, 137):
            await pilot.resize_terminal(width, 40)
            await wait_until(pilot, lambda: text_of(app).count("¤") == 200, f"the notice in {width} columns")
            shown = text_of(app)
            assert (shown.count("§"), shown.count("¶")) == (300, 300), shown
            assert pane_of(app).transcript.show_vertical_scrollbar == bool(before)

    run_app(app, use, WIDE)


def test_ten_thousand_messages(chats: RealChats) -> None:
    said = [text for number in range(5000) for text in (f"question {number}", f"answer {number} with **words**")]
    app = chats.app(conversation=chats.write(said), max_tokens=4)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        transcript = pane_of(app).transcript
        await wait_until(pilot, lambda: "answer 4999 with words" in text_of(app), "the end")
        transcript.focus()
        for _ in range(40):
            await pilot.press("pageup")
        assert transcript.computed <= 60
        await pilot.press("home")
        await wait_until(pilot, lambda: "question 0" in text_of(app), "the beginning")
        await pilot.press("end")
        await wait_until(pilot, lambda: "answer 4999 with words" in text_of(app), "the end again")
        assert transcript.computed <= 60
        assert len(list(app.screen.walk_children())) < 60

    run_app(app, use)
