"""Chat on the screen: what is typed, what comes, and what stays."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_rig import ScriptedServer, pane_of, scripted_app, scripted_server, texts, write_conversation
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, TextArea
from tui_rig import WIDE, run_app, text_of, told, wait_until

from edgellm.tui.app import EdgeApp
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.opening import Opening
from edgellm.tui.chat.records import ChatSettings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path_factory.mktemp("s")) as script:
        yield script


def kept(home: Path) -> Conversations:
    return Conversations(home / "state" / "conversations")


async def ready(pilot: Pilot[None], app: EdgeApp) -> None:
    await wait_until(pilot, lambda: app.connection.is_connected and app.screen.query("#prompt"), "the chat")


async def type_text(pilot: Pilot[None], text: str) -> None:
    await pilot.press(*({" ": "space", "/": "slash", "\n": "ctrl+j"}.get(letter, letter) for letter in text))


async def sent(pilot: Pilot[None], server: ScriptedServer, text: str) -> None:
    """Type and send; the server has it then."""
    count = len(server.requests)
    await type_text(pilot, text)
    await pilot.press("enter")
    await wait_until(pilot, lambda: len(server.requests) > count, "the request")


async def answered(pilot: Pilot[None], app: EdgeApp) -> None:
    await wait_until(pilot, lambda: not pane_of(app).is_answering, "the end of the answer")
    await pilot.pause()


def test_a_message_is_answered_as_the_words_come(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await sent(pilot, server, "Hello\nyou")
        server.start()
        server.say("It is **bold**")
        await wait_until(pilot, lambda: "It is bold" in text_of(app), "the first words")
        assert "answering" in text_of(app)
        server.say(" and `code`.\n\n```python\nprint(1)\n```\n")
        server.end()
        await answered(pilot, app)
        shown = text_of(app)
        for text in ("Hello", "you", "thinker:pi", "bold and code.", "python", "print(1)", "answer 5 at 10.0/s"):
            assert text in shown, text
        assert "25/100 25%" in shown
        assert pane_of(app).prompt.text == ""

    run_app(app, use)
    (request,) = server.requests
    assert request["messages"] == [{"role": "user", "content": "Hello\nyou"}]
    (summary,) = kept(home).summaries()
    assert texts(kept(home).open(summary.id)) == [
        "Hello\nyou",
        "It is **bold** and `code`.\n\n```python\nprint(1)\n```\n",
    ]


def test_escape_stops_an_answer_and_what_came_stays(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await sent(pilot, server, "Hello")
        server.start()
        server.say("It goes on")
        await wait_until(pilot, lambda: "It goes on" in text_of(app), "the first words")
        await pilot.press("escape")
        await answered(pilot, app)
        await wait_until(pilot, lambda: server.closed, "the end of the request")
        assert "stopped" in text_of(app)
        await type_text(pilot, "/continue")
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(server.requests) == 2, "the request")
        server.answer(" and on.")
        await answered(pilot, app)
        assert texts(pane_of(app).conversation) == ["Hello", "It goes on and on."]

    run_app(app, use)
    assert server.requests[1]["continue_last"] is True
    assert server.requests[1]["messages"][-1] == {"role": "assistant", "content": "It goes on"}


def test_a_connection_that_breaks_costs_nothing(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await sent(pilot, server, "Hello")
        server.start()
        server.say("Half of it")
        await wait_until(pilot, lambda: "Half of it" in text_of(app), "the first words")
        server.cut()
        await answered(pilot, app)
        shown = text_of(app)
        assert "Half of it" in shown
        assert "interrupted" in shown
        assert "Ctrl+G asks again" in shown
        await pilot.press("ctrl+g")
        await wait_until(pilot, lambda: len(server.requests) == 2, "the request")
        server.answer("All of it")
        await answered(pilot, app)
        assert texts(pane_of(app).conversation) == ["Hello", "All of it"]
        assert "‹ 2/2 ›" in text_of(app)

    run_app(app, use)


def test_a_refusal_is_said_and_the_message_stays(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        server.refuse(507, "DoesNotFitError", "thinker needs 5 GiB, 3 GiB are free", "take a smaller one")
        await sent(pilot, server, "Hello")
        await answered(pilot, app)
        shown = text_of(app)
        assert "thinker needs 5 GiB, 3 GiB are free" in shown
        assert "take a smaller one" in shown
        assert "Space in the mode Models (F1) loads it all the same" in shown
        assert texts(pane_of(app).conversation) == ["Hello"]

    run_app(app, use)


def test_what_was_typed_is_there_after_a_crash(home: Path, server: ScriptedServer) -> None:
    crashed = scripted_app(home, server)

    async def type_only(pilot: Pilot[None]) -> None:
        await ready(pilot, crashed)
        await type_text(pilot, "not sent\nyet")
        files = {path.suffix: path.read_text() for path in (home / "state" / "conversations").iterdir()}
        assert files[".draft"] == "not sent\nyet"

    run_app(crashed, type_only)
    app = scripted_app(home, server, Opening())

    async def look(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        assert pane_of(app).prompt.text == "not sent\nyet"
        await pilot.press("ctrl+a", "ctrl+k", "backspace")
        await pilot.press("ctrl+u")
        pane_of(app).prompt.put("")
        await pilot.pause()

    run_app(app, look)
    assert [path.name for path in (home / "state" / "conversations").iterdir()] == ["index.json"]


def test_thoughts_are_folded_until_they_are_wanted(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await sent(pilot, server, "Hello")
        server.start()
        server.think("Let me see")
        await wait_until(pilot, lambda: "▸ thinking" in text_of(app), "the thought")
        server.say("Four")
        server.end()
        await answered(pilot, app)
        assert "▸ thought" in text_of(app)
        assert "Let me see" not in text_of(app)
        pane_of(app).transcript.focus()
        await pilot.press("k", "t")
        await wait_until(pilot, lambda: "Let me see" in text_of(app), "the thoughts")
        await pilot.click("#transcript", offset=(4, 4))
        await wait_until(pilot, lambda: "Let me see" not in text_of(app), "the fold")

    run_app(app, use)


def test_versions_edits_and_copies(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane = pane_of(app)
        server.answer("first")
        await sent(pilot, server, "Hello")
        await answered(pilot, app)
        server.answer("second\n\n```\ncode\n```")
        await pilot.press("ctrl+g")
        await wait_until(pilot, lambda: len(server.requests) == 2, "the request")
        await answered(pilot, app)
        pane.transcript.focus()
        await pilot.press("y")
        assert app.clipboard == "second\n\n```\ncode\n```"
        await pilot.press("c")
        assert app.clipboard == "code\n"
        await pilot.press("left_square_bracket")
        assert texts(pane.conversation) == ["Hello", "first"]
        await pilot.press("right_square_bracket")
        assert texts(pane.conversation)[0] == "Hello"
        await pilot.press("k", "e")
        assert pane.prompt.text == "Hello"
        assert "editing" in text_of(app)
        await pilot.press("escape")
        assert pane.editing is None
        pane.transcript.focus()
        await pilot.press("e")
        server.answer("third")
        await sent(pilot, server, "!")
        await answered(pilot, app)
        assert texts(pane.conversation) == ["Hello!", "third"]
        assert len(pane.conversation.versions(pane.conversation.message_ids[0])) == 2

    run_app(app, use)
    assert server.requests[2]["messages"] == [{"role": "user", "content": "Hello!"}]


def test_settings_reach_the_server_and_stay(home: Path, server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the notes")
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: app.screen.query("#parameters"), "the parameters")
        await pilot.press("down", "down", "enter")
        assert isinstance(app.focused, Input)
        app.focused.value = "3000"
        await pilot.press("enter")
        assert "temperature is 3000.0; it must be a number from 0.0 to 100.0" in text_of(app)
        app.focused.value = "0.5"
        await pilot.press("enter", "ctrl+j")
        await wait_until(pilot, lambda: not app.screen.query("#parameters"), "the end of the dialog")
        await type_text(pilot, "/system Be brief.")
        await pilot.press("enter")
        await type_text(pilot, "/schema")
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.screen.query(".dialog--text"), "the schema")
        area = app.screen.query_one("#text", TextArea)
        area.load_text("[1")
        await pilot.press("ctrl+j")
        assert "the schema is no JSON" in text_of(app)
        area.load_text('{"type": "object"}')
        await pilot.press("ctrl+j")
        pane_of(app).prompt.put(f"/attach {tmp_path / 'notes.txt'}")
        await pilot.press("enter")
        assert "1 attached" in text_of(app)
        server.answer("{}")
        await sent(pilot, server, "Hi")
        await answered(pilot, app)

    run_app(app, use, WIDE)
    (request,) = server.requests
    assert request["sampling"] == {"temperature": 0.5}
    assert request["grammar"] == {"kind": "json_schema", "text": '{"type":"object"}'}
    system, user = request["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert user["content"] == "File notes.txt:\n```\nthe notes\n```\n\nHi"
    (summary,) = kept(home).summaries()
    settings = kept(home).open(summary.id).settings
    assert (settings.system, settings.sampling) == ("Be brief.", {"temperature": 0.5})


def test_presets_are_taken_and_saved(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: app.screen.query("#parameters"), "the parameters")
        await pilot.press("p")
        await wait_until(pilot, lambda: app.screen.query("#choices"), "the presets")
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: app.screen.query("#parameters"), "the parameters")
        await pilot.press("s")
        await wait_until(pilot, lambda: app.screen.query("#text"), "the name")
        await type_text(pilot, "mine")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "the preset mine is saved" in text_of(app), "the saved preset")
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: "temperature 0" in text_of(app), "the parameters in the status")

    run_app(app, use, WIDE)
    assert json.loads((home / "state" / "chat-presets.json").read_text()) == {"mine": {"temperature": 0.0}}


def test_the_list_opens_searches_renames_and_deletes(home: Path, server: ScriptedServer) -> None:
    for text in ("About cats", "About dogs", "About birds"):
        conversation = kept(home).begin(ChatSettings(model="thinker:pi"))
        conversation.add("user", text)
        conversation.add("assistant", f"They are {text[6:]} of course", parent=1)
        conversation.close()
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("ctrl+o")
        found = app.screen.query_one("#found", OptionList)
        await wait_until(pilot, lambda: found.option_count == 3, "the list")
        app.screen.query_one("#search").focus()
        await type_text(pilot, "are dogs")
        await wait_until(pilot, lambda: found.option_count == 1, "the search")
        await pilot.press("enter", "down", "enter")
        await wait_until(pilot, lambda: pane_of(app).conversation.title == "About dogs", "the conversation")
        await wait_until(pilot, lambda: "They are dogs of course" in text_of(app), "its text")
        assert pane_of(app).transcript.chosen == 2
        await pilot.press("ctrl+o")
        await wait_until(pilot, lambda: found.option_count == 1 and app.focused is found, "the list again")
        await pilot.press("delete")
        await wait_until(pilot, lambda: app.screen.query("#yes"), "the question")
        app.screen.query_one("#yes").focus()
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(kept(home).summaries()) == 2, "the deletion")
        assert len(pane_of(app).conversation) == 0

    run_app(app, use)
    assert sorted(each.title for each in kept(home).summaries()) == ["About birds", "About cats"]
    assert all(b"dogs" not in path.read_bytes() for path in (home / "state" / "conversations").iterdir())


def test_the_list_renames(home: Path, server: ScriptedServer) -> None:
    write_conversation(home, ["Hello", "there"])
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("ctrl+o")
        found = app.screen.query_one("#found", OptionList)
        await wait_until(pilot, lambda: found.option_count == 1, "the list")
        found.focus()
        await pilot.press("down", "n")
        await wait_until(pilot, lambda: app.screen.query("#text"), "the question")
        app.screen.query_one("#text", Input).value = "Greetings"
        await pilot.press("enter")
        await wait_until(pilot, lambda: "Greetings" in text_of(app), "the title")

    run_app(app, use)
    assert [each.title for each in kept(home).summaries()] == ["Greetings"]


def test_a_conversation_that_another_terminal_has_open_is_left_to_it(home: Path, server: ScriptedServer) -> None:
    conversation = kept(home).begin(ChatSettings(model="thinker:pi"))
    conversation.add("user", "About cats")  # and is held open here, as by another program
    app = scripted_app(home, server, Opening(conversation=conversation.id))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await wait_until(pilot, lambda: "open in another program" in text_of(app), "the message")
        server.answer("Yes")
        await sent(pilot, server, "Hello")
        await answered(pilot, app)

    run_app(app, use)
    assert texts(conversation) == ["About cats"]
    conversation.close()
    assert len(kept(home).summaries()) == 2


def test_a_full_disk_is_said_and_costs_nothing(
    home: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = scripted_app(home, server)
    whole = os.pwrite

    def full(*_arguments: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        monkeypatch.setattr(os, "pwrite", full)
        server.answer("an answer")
        await sent(pilot, server, "Hello")
        await answered(pilot, app)
        assert "not saved" in text_of(app)
        assert "an answer" in text_of(app)
        monkeypatch.setattr(os, "pwrite", whole)
        await wait_until(pilot, lambda: "not saved" not in text_of(app), "the next attempt to save")

    run_app(app, use, WIDE)
    (summary,) = kept(home).summaries()
    assert texts(kept(home).open(summary.id)) == ["Hello", "an answer"]


def test_without_history_nothing_is_on_the_disk(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)
    assert app.chat_start is not None
    app.chat_start = app.chat_start._replace(conversations=Conversations(None))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        server.answer("an answer")
        await sent(pilot, server, "Hello")
        await answered(pilot, app)
        assert "not kept" in text_of(app)
        await type_text(pilot, "typed")

    run_app(app, use)
    assert not (home / "state" / "conversations").exists()


def test_a_model_that_loads_is_said(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)
    progress = {"phase": "reading", "done_bytes": 3 << 30, "total_bytes": 4 << 30, "elapsed_s": 9.0}
    server.loading = {"name": "thinker:pi", "names": ["thinker:pi"], "state": "loading", "progress": progress}

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await sent(pilot, server, "Hello")
        await wait_until(pilot, lambda: "loading thinker:pi: reading, 75% of 4.0 GiB" in text_of(app), "the progress")
        await type_text(pilot, "typed meanwhile")
        server.answer("there")
        await answered(pilot, app)
        assert pane_of(app).prompt.text == "typed meanwhile"

    run_app(app, use)


def test_commands_answer_below_the_conversation(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        for line, shown in (
            ("/nope", "there is no command /nope"),
            ("/set top_k 5", "top_k is 5"),
            ("/info", "context   not known yet"),
            ("/retry", "there is nothing to answer yet"),
        ):
            await type_text(pilot, line)
            await pilot.press("enter")
            await wait_until(pilot, lambda shown=shown: shown in text_of(app), shown)  # type: ignore[misc]
        server.answer("ok")
        await sent(pilot, server, "//not a command")
        await answered(pilot, app)
        assert texts(pane_of(app).conversation)[0] == "/not a command"
        await type_text(pilot, "/mod")
        await pilot.press("tab")
        assert pane_of(app).prompt.text == "/model "

    run_app(app, use)


def test_commands_that_leave_an_answer_alone_do_not_stop_it(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await sent(pilot, server, "Hello")
        server.start()
        server.say("It goes on")
        await wait_until(pilot, lambda: "It goes on" in text_of(app), "the first words")
        for line, shown in (("/nope", "there is no command /nope"), ("/set top_k 5", "top_k is 5")):
            await type_text(pilot, line)
            await pilot.press("enter")
            await wait_until(pilot, lambda shown=shown: shown in text_of(app), shown)  # type: ignore[misc]
        server.say(" and on.")
        server.end()
        await answered(pilot, app)
        assert texts(pane_of(app).conversation) == ["Hello", "It goes on and on."]

    run_app(app, use, WIDE)


def test_an_export_says_in_its_question_what_is_wrong(home: Path, server: ScriptedServer, tmp_path: Path) -> None:
    app = scripted_app(home, server, Opening(conversation=write_conversation(home, ["Hello", "there"])))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        title = pane_of(app).conversation.title
        app.screen.action_ask("export")  # type: ignore[attr-defined]
        await wait_until(pilot, lambda: app.screen.query("#hint"), "the question")
        field = app.screen.query_one("#text", Input)
        field.value = str(tmp_path / "talk.txt")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "talk.txt is neither .md nor .json" in text_of(app), "what is wrong")
        field.value = str(tmp_path / "talk.md")
        await pilot.press("enter")
        await wait_until(pilot, lambda: (tmp_path / "talk.md").exists(), "the file")
        assert pane_of(app).conversation.title == title

    run_app(app, use, WIDE)


def test_thinking_is_chosen_in_a_dialog(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        app.screen.action_ask("thinking")  # type: ignore[attr-defined]
        choices = await _choices(pilot, app)
        assert choices.highlighted_option is not None
        assert choices.highlighted_option.id == "auto"
        await pilot.press("up", "enter")
        await wait_until(pilot, lambda: "no thoughts" in text_of(app), "the status")
        assert pane_of(app).conversation.settings.thinking is False

    run_app(app, use, WIDE)


def test_without_a_model_it_says_where_one_is_added(home: Path, server: ScriptedServer) -> None:
    server.models = []
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("ctrl+l")
        await wait_until(pilot, lambda: "in the mode Models" in told(app), "the way out")

    run_app(app, use, WIDE)


async def _choices(pilot: Pilot[None], app: EdgeApp) -> OptionList:
    await wait_until(pilot, lambda: app.screen.query("#choices"), "the choices")
    return app.screen.query_one("#choices", OptionList)


def test_what_is_typed_faster_than_it_is_read_arrives_in_order(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        keys = [*"/set", "space", *"top_k", "space", "5", "enter", *"one", "enter", *"two", "enter", *"three"]
        prompt = pane_of(app).prompt
        for key in keys:
            character = {"space": " ", "enter": "\r"}.get(key, key)
            prompt.post_message(events.Key({"_": "underscore", "/": "slash"}.get(key, key), character))
        await wait_until(pilot, lambda: len(server.requests) == 1, "the request")
        assert server.requests[0]["messages"][-1]["content"] == "one"
        assert server.requests[0]["sampling"] == {"top_k": 5}
        await wait_until(pilot, lambda: prompt.text == "twothree", "what was not sent")
        server.answer("ok")
        await answered(pilot, app)

    run_app(app, use)


def test_history_goes_through_what_was_said(home: Path, server: ScriptedServer) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        for text in ("one", "two"):
            server.answer("ok")
            await sent(pilot, server, text)
            await answered(pilot, app)
        prompt = pane_of(app).prompt
        await type_text(pilot, "mine")
        await pilot.press("up")
        assert prompt.text == "two"
        await pilot.press("up")
        assert prompt.text == "one"
        await pilot.press("up")
        assert prompt.text == "one"
        await pilot.press("down", "down")
        assert prompt.text == "mine"

    run_app(app, use)


def test_messages_that_do_not_fit_are_left_out_and_it_is_said(home: Path, server: ScriptedServer) -> None:
    conversation = kept(home).begin(ChatSettings(model="thinker:pi"))
    for number in range(6):
        conversation.add("user", f"question {number}", parent=conversation.leaf)
        conversation.add("assistant", f"answer {number}", parent=conversation.leaf, context=100)
    conversation.close()
    app = scripted_app(home, server, Opening(conversation=conversation.id))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        server.refuse(400, "PromptTooLongError", "too long")
        server.answer("fits")
        await sent(pilot, server, "the last")
        await answered(pilot, app)
        await wait_until(pilot, lambda: "messages left out" in text_of(app), "the status")
        assert texts(pane_of(app).conversation)[-2:] == ["the last", "fits"]
        assert "the model has not read what is above" in text_of(app)

    run_app(app, use)
    first, second = (request["messages"] for request in server.requests)
    assert len(second) < len(first)
    assert second[-1] == {"role": "user", "content": "the last"}
    assert second[0]["role"] == "user"


@pytest.mark.parametrize("size", [(20, 6), (80, 24), (200, 60)])
def test_any_size_of_terminal_will_do(home: Path, server: ScriptedServer, size: tuple[int, int]) -> None:
    app = scripted_app(home, server)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        server.answer("# Title\n\n" + "word " * 300 + "\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n- two\n")
        await sent(pilot, server, "Hello")
        await answered(pilot, app)
        for width, height in (size, (120, 40), (30, 10), size):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            assert pane_of(app).transcript.is_following
        await pilot.press("ctrl+o")
        await pilot.resize_terminal(*size)
        await pilot.pause()

    run_app(app, use, (90, 30))


@pytest.mark.parametrize("typed", [False, True], ids=["at-the-start", "as-a-command"])
def test_a_model_that_is_not_there_is_said_at_once_and_others_are_offered(
    home: Path, server: ScriptedServer, typed: bool
) -> None:
    app = scripted_app(home, server, None if typed else Opening(model="nope"))

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: app.connection.is_connected and app.screen_stack[0].query("#prompt"), "it")
        if typed:
            await type_text(pilot, "/model nope")
            await pilot.press("enter")
        await wait_until(pilot, lambda: app.screen.query("#choices"), "the models")
        assert "there is no model 'nope': which one?" in text_of(app)
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: app.screen.query("#prompt"), "the end of the dialog")
        assert "the store has thinker:pi, writer:pi" in text_of(app)
        assert pane_of(app).conversation.settings.model == "writer:pi"

    run_app(app, use)
    assert server.requests == []


def test_an_empty_store_is_said_at_once(home: Path, server: ScriptedServer) -> None:
    server.models = []
    app = scripted_app(home, server, Opening(model="nope"))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        said = "there is no model 'nope': the store has no model"
        await wait_until(pilot, lambda: said in text_of(app), "the message")
        assert "`edgellm pull OWNER/MODEL` fetches one" in text_of(app)
        assert not app.screen.query("#choices")

    run_app(app, use)


@pytest.mark.parametrize("before", [0, 30], ids=["without-scrollbar", "with-scrollbar"])
def test_no_column_of_a_text_is_lost(home: Path, server: ScriptedServer, before: int) -> None:
    said = ["Hello", "Hi", *(f"before {number}" for number in range(2 * before)), "§" * 300, "¶" * 300]
    app = scripted_app(home, server, Opening(conversation=write_conversation(home, said)))

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


def test_ten_thousand_messages(home: Path, server: ScriptedServer) -> None:
    said = [text for number in range(5000) for text in (f"question {number}", f"answer {number} with **words**")]
    id = write_conversation(home, said)
    app = scripted_app(home, server, Opening(conversation=id))

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
