"""Dialogs, commands and the list of a chat over a real server: what they set is how the model answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_rig import ENDLESS, TINY, RealChats, answered, pane_of, ready, streams, texts, type_text
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, TextArea
from tui_rig import WIDE, run_app, text_of, wait_until

from edgellm.tui.app import EdgeApp
from edgellm.tui.chat.records import ChatSettings, Message

SCHEMA = '{"type": "object", "properties": {"sky": {"enum": ["blue", "grey"]}}, "required": ["sky"]}'


def last_answer(app: EdgeApp) -> Message:
    last = pane_of(app).conversation.last("assistant")
    assert last is not None
    return last


def prompt_tokens(app: EdgeApp) -> int:
    stats = last_answer(app).stats
    assert stats is not None
    return stats.prompt_tokens


async def command(pilot: Pilot[None], app: EdgeApp, line: str) -> None:
    pane_of(app).prompt.put(line)
    await pilot.press("enter")


async def choices(pilot: Pilot[None], app: EdgeApp) -> OptionList:
    await wait_until(pilot, lambda: app.screen.query("#choices"), "the choices")
    return app.screen.query_one("#choices", OptionList)


def test_what_is_set_is_how_the_model_answers(chats: RealChats, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the notes of a long day " * 4)
    app = chats.app(max_tokens=40)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: app.screen.query("#parameters"), "the parameters")
        await pilot.press("down", "down", "enter")
        assert isinstance(app.focused, Input)
        app.focused.value = "3000"
        await pilot.press("enter")
        assert "temperature is 3000.0; it must be a number from 0.0 to 100.0" in text_of(app)
        app.focused.value = "0"
        await pilot.press("enter", "ctrl+j")
        await wait_until(pilot, lambda: not app.screen.query("#parameters"), "the end of the dialog")
        pane_of(app).send("Hi")
        await answered(pilot, app, 2)
        plain, first = prompt_tokens(app), last_answer(app).text
        await pilot.press("ctrl+g")
        await answered(pilot, app, 2)
        assert last_answer(app).text == first  # as the temperature of 0 means
        await command(pilot, app, "/system Be brief.")
        pane_of(app).again()
        await answered(pilot, app, 2)
        with_system = prompt_tokens(app)
        assert with_system > plain
        await command(pilot, app, f"/attach {tmp_path / 'notes.txt'}")
        assert "1 attached" in text_of(app)
        await command(pilot, app, "/edit Hi")
        await answered(pilot, app, 2)
        assert "1 attached" not in text_of(app)
        assert prompt_tokens(app) > with_system + 20
        await command(pilot, app, "/schema")
        await wait_until(pilot, lambda: app.screen.query(".dialog--text"), "the schema")
        area = app.screen.query_one("#text", TextArea)
        area.load_text("[1")
        await pilot.press("ctrl+j")
        assert "the schema is no JSON" in text_of(app)
        area.load_text(SCHEMA)
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: pane_of(app).conversation.settings.schema, "the end of the dialog")
        pane_of(app).send("And the sky?")
        await answered(pilot, app, 4)
        assert json.loads(last_answer(app).text)["sky"] in ("blue", "grey")

    run_app(app, use, WIDE)
    (summary,) = chats.kept.summaries()
    conversation = chats.kept.open(summary.id)
    assert (conversation.settings.system, conversation.settings.sampling["temperature"]) == ("Be brief.", 0.0)
    assert [each.name for message in conversation.messages() for each in message.attachments] == ["notes.txt"]


def test_presets_are_taken_and_saved(chats: RealChats) -> None:
    app = chats.app()

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: app.screen.query("#parameters"), "the parameters")
        await pilot.press("p")
        await choices(pilot, app)
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: app.screen.query("#parameters"), "the parameters")
        await pilot.press("s")
        await wait_until(pilot, lambda: app.screen.query("#text"), "the name")
        await type_text(pilot, "mine")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "the preset mine is saved" in text_of(app), "the saved preset")
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: "temperature 0" in text_of(app), "the parameters in the status")
        await command(pilot, app, "/set max_tokens 6")
        for _ in range(2):  # the same question twice, with what the preset says
            await command(pilot, app, "/new")
            await wait_until(pilot, lambda: len(pane_of(app).conversation) == 0, "the new one")
            pane_of(app).send("Hello")
            await answered(pilot, app, 2)

    run_app(app, use, WIDE)
    assert json.loads((chats.state / "chat-presets.json").read_text()) == {"mine": {"temperature": 0.0}}
    first, second = (texts(chats.kept.open(each.id))[1] for each in chats.kept.summaries())
    assert first == second


def test_the_list_opens_searches_renames_and_deletes(chats: RealChats) -> None:
    for text in ("About cats", "About dogs", "About birds"):
        conversation = chats.kept.begin(ChatSettings(model=TINY))
        conversation.add("user", text)
        conversation.add("assistant", f"They are {text[6:]} of course", parent=1)
        conversation.close()
    app = chats.app()

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("ctrl+o")
        found = app.screen.query_one("#found", OptionList)
        await wait_until(pilot, lambda: found.option_count == 3, "the list")
        await pilot.press("i")
        await wait_until(pilot, lambda: app.focused is pane_of(app).prompt, "the prompt")
        await pilot.press("ctrl+o")  # again: to the list, wherever one was
        await wait_until(pilot, lambda: app.focused is found, "the list again")
        await pilot.press("slash")
        await type_text(pilot, "are dogs")
        await wait_until(pilot, lambda: found.option_count == 1, "the search")
        await pilot.press("enter", "down", "n")
        await wait_until(pilot, lambda: app.screen.query("#text"), "the question")
        app.screen.query_one("#text", Input).value = "Hounds"
        await pilot.press("enter")
        await wait_until(pilot, lambda: "Hounds" in text_of(app), "the title")
        found.focus()
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: pane_of(app).conversation.title == "Hounds", "the conversation")
        await wait_until(pilot, lambda: "They are dogs of course" in text_of(app), "its text")
        assert pane_of(app).transcript.chosen == 2
        await pilot.press("ctrl+o")
        await wait_until(pilot, lambda: found.option_count == 1 and app.focused is found, "the list again")
        await pilot.press("delete")
        await wait_until(pilot, lambda: app.screen.query("#yes"), "the question")
        app.screen.query_one("#yes").focus()
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(chats.kept.summaries()) == 2, "the deletion")
        assert len(pane_of(app).conversation) == 0

    run_app(app, use)
    assert sorted(each.title for each in chats.kept.summaries()) == ["About birds", "About cats"]
    assert all(b"dogs" not in path.read_bytes() for path in (chats.state / "conversations").iterdir())


def test_commands_answer_below_the_conversation(chats: RealChats) -> None:
    app = chats.app(max_tokens=4)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        for line, shown in (
            ("/nope", "there is no command /nope"),
            ("/set top_k 5", "top_k is 5"),
            ("/info", "context   not known yet"),
            ("/retry", "there is nothing to answer yet"),
        ):
            await command(pilot, app, line)
            await wait_until(pilot, lambda shown=shown: shown in text_of(app), shown)  # type: ignore[misc]
        await command(pilot, app, "//not a command")
        await answered(pilot, app, 2)
        assert texts(pane_of(app).conversation)[0] == "/not a command"
        await command(pilot, app, "/info")
        await wait_until(pilot, lambda: "of 512 tokens" in text_of(app), "the context")
        await type_text(pilot, "/mod")
        await pilot.press("tab")
        assert pane_of(app).prompt.text == "/model "

    run_app(app, use)


def test_commands_that_leave_an_answer_alone_do_not_stop_it(chats: RealChats) -> None:
    app = chats.app(ENDLESS, ignore_eos=True)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane_of(app).send("Hello")
        await streams(pilot, app)
        for line, shown in (("/nope", "there is no command /nope"), ("/set top_k 5", "top_k is 5")):
            await command(pilot, app, line)
            await wait_until(pilot, lambda shown=shown: shown in text_of(app), shown)  # type: ignore[misc]
        await streams(pilot, app)
        await pilot.press("escape")
        await answered(pilot, app, 2)

    run_app(app, use, WIDE)


@pytest.mark.parametrize("suffix", [".md", ".json"])
def test_an_export_says_in_its_question_what_is_wrong(chats: RealChats, tmp_path: Path, suffix: str) -> None:
    app = chats.app(conversation=chats.write(["Hello", "there"]), max_tokens=4)
    target = tmp_path / f"talk{suffix}"

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane_of(app).send("More")
        await answered(pilot, app, 4)
        title = pane_of(app).conversation.title
        app.screen.action_ask("export")  # type: ignore[attr-defined]
        await wait_until(pilot, lambda: app.screen.query("#hint"), "the question")
        field = app.screen.query_one("#text", Input)
        field.value = str(tmp_path / "talk.txt")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "talk.txt is neither .md nor .json" in text_of(app), "what is wrong")
        field.value = str(target)
        await pilot.press("enter")
        await wait_until(pilot, target.exists, "the file")
        assert pane_of(app).conversation.title == title
        for text in ["Hello", "there", "More", texts(pane_of(app).conversation)[3]]:
            assert (text if suffix == ".md" else json.dumps(text)[1:-1]) in target.read_text()

    run_app(app, use, WIDE)


def test_thinking_is_chosen_in_a_dialog(chats: RealChats) -> None:
    app = chats.app()

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        app.screen.action_ask("thinking")  # type: ignore[attr-defined]
        found = await choices(pilot, app)
        assert found.highlighted_option is not None
        assert found.highlighted_option.id == "auto"
        await pilot.press("up", "enter")
        await wait_until(pilot, lambda: "no thoughts" in text_of(app), "the status")
        assert pane_of(app).conversation.settings.thinking is False

    run_app(app, use, WIDE)
