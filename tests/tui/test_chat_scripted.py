"""Chat on the screen with answers that no small model gives on demand: Markdown, thoughts, a large load."""

from __future__ import annotations

from pathlib import Path

import pytest
from chat_rig import ScriptedServer, answered, pane_of, ready, scripted_app, texts, type_text
from textual.pilot import Pilot
from tui_rig import run_app, text_of, wait_until

from edgellm.tui.chat.conversations import Conversations


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


async def sent(pilot: Pilot[None], server: ScriptedServer, text: str) -> None:
    """Type and send; the server has it then."""
    count = len(server.requests)
    await type_text(pilot, text)
    await pilot.press("enter")
    await wait_until(pilot, lambda: len(server.requests) > count, "the request")


def test_markdown_is_formed_as_the_words_come(home: Path, script: ScriptedServer) -> None:
    app = scripted_app(home, script)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await sent(pilot, script, "Hello\nyou")
        script.start()
        script.say("It is **bold**")
        await wait_until(pilot, lambda: "It is bold" in text_of(app), "the first words")
        assert "answering" in text_of(app)
        script.say(" and `code`.\n\n```python\nprint(1)\n```\n")
        script.end()
        await answered(pilot, app)
        shown = text_of(app)
        for text in ("Hello", "you", "thinker:pi", "bold and code.", "python", "print(1)", "answer 5 at 10.0/s"):
            assert text in shown, text
        assert "25/100 25%" in shown
        assert pane_of(app).prompt.text == ""

    run_app(app, use)
    (request,) = script.requests
    assert request["messages"] == [{"role": "user", "content": "Hello\nyou"}]
    kept = Conversations(home / "state" / "conversations")
    (summary,) = kept.summaries()
    assert texts(kept.open(summary.id)) == [
        "Hello\nyou",
        "It is **bold** and `code`.\n\n```python\nprint(1)\n```\n",
    ]


def test_thoughts_are_folded_until_they_are_wanted(home: Path, script: ScriptedServer) -> None:
    app = scripted_app(home, script)

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await sent(pilot, script, "Hello")
        script.start()
        script.think("Let me see")
        await wait_until(pilot, lambda: "▸ thinking" in text_of(app), "the thought")
        script.say("Four")
        script.end()
        await answered(pilot, app)
        assert "▸ thought" in text_of(app)
        assert "Let me see" not in text_of(app)
        pane_of(app).transcript.focus()
        await pilot.press("k", "t")
        await wait_until(pilot, lambda: "Let me see" in text_of(app), "the thoughts")
        await pilot.click("#transcript", offset=(4, 4))
        await wait_until(pilot, lambda: "Let me see" not in text_of(app), "the fold")

    run_app(app, use)


def test_a_model_that_loads_is_said(home: Path, script: ScriptedServer) -> None:
    app = scripted_app(home, script)
    progress = {"phase": "reading", "done_bytes": 3 << 30, "total_bytes": 4 << 30, "elapsed_s": 9.0}
    script.loading = {"name": "thinker:pi", "names": ["thinker:pi"], "state": "loading", "progress": progress}

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await sent(pilot, script, "Hello")
        await wait_until(pilot, lambda: "loading thinker:pi: reading, 75% of 4.0 GiB" in text_of(app), "the progress")
        await type_text(pilot, "typed meanwhile")
        script.answer("there")
        await answered(pilot, app)
        assert pane_of(app).prompt.text == "typed meanwhile"

    run_app(app, use)
