"""Answers of a real server on the screen: how they come, are stopped, made again, and what of them stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_rig import ENDLESS, TINY, RealChats, answered, held_load, pane_of, ready, streams, texts, type_text
from textual.pilot import Pilot
from tui_rig import NARROW, WIDE, run_app, text_of, wait_until

from edgellm.tui.app import EdgeApp


async def say(pilot: Pilot[None], text: str) -> None:
    """Send ``text``."""
    app: EdgeApp = pilot.app  # type: ignore[assignment]
    pane_of(app).prompt.put(text)
    await pilot.press("enter")


def test_words_are_shown_as_they_come(chats: RealChats) -> None:
    app = chats.app(ENDLESS, ignore_eos=True, seed=3)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await type_text(pilot, "Hello\nyou")
        await pilot.press("enter")
        first = await streams(pilot, app)
        await wait_until(pilot, lambda: first.split()[0] in text_of(app), "the first words")
        assert "answering, Esc stops" in text_of(app)
        before = text_of(app)
        await streams(pilot, app, len(first) + 200)
        await wait_until(pilot, lambda: text_of(app) != before, "more words")
        await type_text(pilot, "typed meanwhile")
        await pilot.press("enter")  # is not sent, and stays
        assert pane_of(app).prompt.text == "typed meanwhile"
        await pilot.press("escape")
        await answered(pilot, app, 2)
        assert pane_of(app).prompt.text == "typed meanwhile"

    run_app(app, use)
    (summary,) = chats.kept.summaries()
    question, answer = chats.kept.open(summary.id).messages()
    assert (question.text, summary.title) == ("Hello\nyou", "Hello you")
    assert (answer.model, answer.finish, answer.context) == (ENDLESS, "stopped", 16384)
    assert answer.first_s > 0


def test_speed_and_context_of_an_answer_are_shown(chats: RealChats) -> None:
    app = chats.app(max_tokens=12, ignore_eos=True)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await say(pilot, "Hello")
        await answered(pilot, app, 2)
        last = pane_of(app).conversation.last()
        assert last is not None
        assert last.stats is not None
        used = last.stats.prompt_tokens + 12
        for text in ("Hello", TINY, "first token", "answer 12 at", "cut off at", f"{used}/512"):
            assert text in text_of(app), text
        await say(pilot, "And more")  # the same prefix is not computed again
        await answered(pilot, app, 4)
        last = pane_of(app).conversation.last()
        assert last is not None
        assert last.stats is not None
        assert last.stats.cached_tokens > 0

    run_app(app, use, WIDE)


def test_escape_stops_an_answer_and_it_can_go_on(chats: RealChats) -> None:
    app = chats.app(ENDLESS, ignore_eos=True)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await say(pilot, "Hello")
        await streams(pilot, app)
        await pilot.press("escape")
        await answered(pilot, app, 2)
        chats.wait_idle()
        assert "stopped" in text_of(app)
        stopped = texts(pane_of(app).conversation)[1]
        assert stopped
        await say(pilot, "/continue")
        await streams(pilot, app, len(stopped) + 40)
        await pilot.press("ctrl+c")  # the other key that stops
        await answered(pilot, app, 2)
        assert texts(pane_of(app).conversation)[1].startswith(stopped)
        assert app.is_running

    run_app(app, use)
    chats.wait_idle()


def test_versions_edits_and_copies(chats: RealChats) -> None:
    app = chats.app(max_tokens=6)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane = pane_of(app)
        await say(pilot, "Hello")
        await answered(pilot, app, 2)
        first = texts(pane.conversation)[1]
        for version in (2, 3):
            await pilot.press("ctrl+g")
            await wait_until(pilot, lambda version=version: f"‹ {version}/{version} ›" in text_of(app), "a version")  # type: ignore[misc]
            await answered(pilot, app, 2)
        third = texts(pane.conversation)[1]
        pane.transcript.focus()
        await pilot.press("y")
        assert app.clipboard == third
        await pilot.press("left_square_bracket", "left_square_bracket")
        assert texts(pane.conversation) == ["Hello", first]
        assert "‹ 1/3 ›" in text_of(app)
        await pilot.press("right_square_bracket", "right_square_bracket", "right_square_bracket")
        assert texts(pane.conversation) == ["Hello", third]
        await pilot.press("k", "e")
        assert pane.prompt.text == "Hello"
        assert "editing" in text_of(app)
        await pilot.press("escape")
        assert pane.editing is None
        pane.transcript.focus()
        await pilot.press("e")
        await type_text(pilot, "!")
        await pilot.press("enter")
        await answered(pilot, app, 2)
        assert texts(pane.conversation)[0] == "Hello!"
        assert len(pane.conversation.versions(pane.conversation.message_ids[0])) == 2
        pane.transcript.focus()
        await pilot.press("k", "k", "left_square_bracket")
        assert texts(pane.conversation) == ["Hello", third]  # with what was answered then

    run_app(app, use)
    (summary,) = chats.kept.summaries()
    assert texts(chats.kept.open(summary.id))[0] == "Hello"  # what was shown last is shown again


def test_a_conversation_is_gone_on_with_and_another_one_begun(chats: RealChats) -> None:
    id = chats.write(["About cats", "They sleep.", "And dogs?", "They bark."])
    app = chats.app(conversation=id, max_tokens=6)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await say(pilot, "And birds?")
        await answered(pilot, app, 6)
        last = pane_of(app).conversation.last()
        assert last is not None
        assert last.stats is not None
        assert last.stats.prompt_tokens > 40  # the model was given what was said before
        await pilot.press("ctrl+n")
        assert len(pane_of(app).conversation) == 0
        await say(pilot, "About fish")
        await answered(pilot, app, 2)
        await say(pilot, "/load About cats")
        await wait_until(pilot, lambda: len(pane_of(app).conversation) == 6, "the one before")

    run_app(app, use)
    assert {each.title: each.messages for each in chats.kept.summaries()} == {"About cats": 6, "About fish": 2}


def test_leaving_a_conversation_stops_its_answer_and_keeps_what_came(chats: RealChats) -> None:
    app = chats.app(ENDLESS, ignore_eos=True)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await say(pilot, "Tell me all")
        came = await streams(pilot, app)
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: not pane_of(app).is_answering, "the end of the answer")
        assert len(pane_of(app).conversation) == 0
        chats.wait_idle()
        await say(pilot, "/load Tell me all")
        await wait_until(pilot, lambda: len(pane_of(app).conversation) == 2, "the one before")
        assert texts(pane_of(app).conversation)[1].startswith(came)

    run_app(app, use)


@pytest.mark.parametrize("key", ["ctrl+q", "f1"])
def test_leaving_the_chat_while_it_answers(chats: RealChats, key: str) -> None:
    """The program ends: what came is kept. Another mode is shown: the answer goes on."""
    app = chats.app(ENDLESS, ignore_eos=True)
    came: list[str] = []

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await say(pilot, "Tell me all")
        pane = pane_of(app)
        came.append(await streams(pilot, app))
        await pilot.press(key)
        if key == "f1":
            await wait_until(pilot, lambda: "free for models" in text_of(app), "the models")
            before = pane._so_far
            assert before is not None
            length = len(before.text)
            await wait_until(pilot, lambda: pane._so_far is not None and len(pane._so_far.text) > length, "more of it")
            await pilot.press("f4")
            await wait_until(pilot, lambda: "answering" in text_of(app), "the chat")
            await pilot.press("escape")
            await answered(pilot, app, 2)

    run_app(app, use)
    chats.wait_idle()
    (summary,) = chats.kept.summaries()
    assert summary.messages == 2
    assert texts(chats.kept.open(summary.id))[1].startswith(came[0])
    assert not list(chats.state.glob("conversations/*.answer"))


def test_messages_that_do_not_fit_are_left_out_and_it_is_said(chats: RealChats) -> None:
    long = "why is it so and not otherwise? " * 10
    said = [text for number in range(6) for text in (f"question {number} {long}", f"answer {number}")]
    app = chats.app(conversation=chats.write(said), max_tokens=8)  # nobody said yet how large the context is

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await say(pilot, "the last")
        await answered(pilot, app, 14)
        await wait_until(pilot, lambda: "messages left out" in text_of(app), "the status")
        pane_of(app).transcript.focus()
        await pilot.press("end", "pageup")
        await wait_until(pilot, lambda: "the model has not read what is above" in text_of(app), "the line")

    run_app(app, use, WIDE)


def test_a_message_that_never_fits_is_refused_and_can_be_edited(chats: RealChats) -> None:
    app = chats.app(max_tokens=8)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane_of(app).prompt.put("why is it so? " * 300)
        await pilot.press("enter")
        await answered(pilot, app, 1)
        await wait_until(pilot, lambda: "512" in text_of(app) and "tokens" in text_of(app), "the refusal")
        await say(pilot, "/edit Why?")
        await answered(pilot, app, 2)
        assert texts(pane_of(app).conversation)[0] == "Why?"

    run_app(app, use)


def test_answers_follow_a_schema(chats: RealChats, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"sky": {"enum": ["blue", "grey"]}}, "required": ["sky"]}')
    app = chats.app(max_tokens=200)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane_of(app).prompt.put(f"/schema {schema}")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "answers follow the schema" in text_of(app), "the schema")
        await say(pilot, "What colour has the sky?")
        await answered(pilot, app, 2)
        assert json.loads(texts(pane_of(app).conversation)[1])["sky"] in ("blue", "grey")
        pane_of(app).prompt.put('/schema {"type": "nonsense"}')
        await pilot.press("enter")
        await pilot.press(*"again", "enter")
        await answered(pilot, app, 3)
        await wait_until(pilot, lambda: "nonsense" in text_of(app), "what is wrong with the schema")
        await say(pilot, "/schema off")
        await say(pilot, "/retry")
        await answered(pilot, app, 4)

    run_app(app, use, WIDE)


def test_another_model_goes_on_with_the_conversation(chats: RealChats) -> None:
    app = chats.app(max_tokens=6)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await say(pilot, "Hello")
        await answered(pilot, app, 2)
        await pilot.press("ctrl+l")
        await wait_until(pilot, lambda: app.screen.query("#choices"), "the models")
        assert "endless" in text_of(app)
        await pilot.press("home", "enter")
        await wait_until(pilot, lambda: pane_of(app).conversation.settings.model == ENDLESS, "the choice")
        await say(pilot, "And you?")
        await answered(pilot, app, 4)
        models = [message.model for message in pane_of(app).conversation.messages() if message.role == "assistant"]
        assert models == [TINY, ENDLESS]
        assert "/16384" in text_of(app)

    run_app(app, use)


def test_it_answers_while_another_model_loads(chats: RealChats) -> None:
    app = chats.app(TINY, max_tokens=8)
    with chats.server.client() as client:
        client.post("/api/edgellm/stop", json={"model": ENDLESS})

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await say(pilot, "Hello")
        await answered(pilot, app, 2)
        with held_load(chats.store_home, ENDLESS):
            await say(pilot, f"/model {ENDLESS}")
            await say(pilot, "Load, please")
            await wait_until(pilot, lambda: f"loading {ENDLESS}" in text_of(app), "the load")
            await type_text(pilot, "typed meanwhile")
            beside = chats.app(TINY, max_tokens=8)
            async with beside.run_test(size=NARROW) as second:
                await ready(second, beside)
                await say(second, "I do not wait")
                await answered(second, beside, 2)
            assert pane_of(app).is_answering  # it waits still
            assert f"loading {ENDLESS}" in text_of(app)
        await answered(pilot, app, 4)
        assert pane_of(app).prompt.text == "typed meanwhile"

    run_app(app, use)


def test_escape_stops_the_wait_for_a_load(chats: RealChats) -> None:
    app = chats.app(ENDLESS, max_tokens=8)
    with chats.server.client() as client:
        client.post("/api/edgellm/stop", json={"model": ENDLESS})

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        with held_load(chats.store_home, ENDLESS):
            await say(pilot, "Hello")
            await wait_until(pilot, lambda: f"loading {ENDLESS}" in text_of(app), "the load")
            await pilot.press("escape")
            await answered(pilot, app, 1)
            chats.wait_idle()
            assert f"loading {ENDLESS}" not in text_of(app)
        await pilot.press("ctrl+g")
        await answered(pilot, app, 2)

    run_app(app, use)


def test_two_programs_talk_at_the_same_time(chats: RealChats) -> None:
    first, second = chats.app(ENDLESS, ignore_eos=True), chats.app(ENDLESS, max_tokens=8)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, first)
        await say(pilot, "I am the first")
        await streams(pilot, first)
        async with second.run_test(size=NARROW) as beside:
            await ready(beside, second)
            await say(beside, "I am the second")
            await answered(beside, second, 2)
            assert pane_of(first).is_answering
            assert pane_of(second).conversation.id != pane_of(first).conversation.id
        await pilot.press("escape")
        await answered(pilot, first, 2)

    run_app(first, use)
    assert {each.title for each in chats.kept.summaries()} == {"I am the first", "I am the second"}


@pytest.mark.parametrize("how", ["ctrl+g", "/retry", "/edit Something else"])
def test_another_answer_is_asked_for_while_one_is_made(chats: RealChats, how: str) -> None:
    app = chats.app(ENDLESS, ignore_eos=True)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane = pane_of(app)
        await say(pilot, "Tell me all")
        came = await streams(pilot, app)
        first = pane._so_far
        assert first is not None
        await (pilot.press("ctrl+g") if how == "ctrl+g" else say(pilot, how))
        await wait_until(
            pilot, lambda: pane._so_far is not None and pane._so_far.started.id > first.started.id, "the next"
        )
        await streams(pilot, app)
        await pilot.press("escape")
        await answered(pilot, app, 2)
        question, _ = texts(pane.conversation)
        assert question == ("Something else" if "edit" in how else "Tell me all")
        pane.transcript.focus()
        await pilot.press(*("k", "k", "left_square_bracket") if "edit" in how else ("left_square_bracket",))
        question, before = texts(pane.conversation)
        assert question == "Tell me all"
        assert before.startswith(came)

    run_app(app, use)
    chats.wait_idle()


def test_a_conversation_is_deleted_while_it_is_answered(chats: RealChats) -> None:
    app = chats.app(ENDLESS, ignore_eos=True)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await say(pilot, "Tell me all")
        await streams(pilot, app)
        await say(pilot, "/forget")
        await wait_until(pilot, lambda: "a new one begins" in text_of(app), "the end of it")
        assert len(pane_of(app).conversation) == 0
        chats.wait_idle()

    run_app(app, use)
    assert chats.kept.summaries() == []
    assert {path.name for path in (chats.state / "conversations").iterdir()} <= {"index.json"}
