"""The pictures of the documents: `python tests/tui/make_pictures.py` draws them anew from the snapshots' answers."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from canned import CannedApp
from chat_rig import pane_of, scripted_app, scripted_server, utc, write_conversation
from chat_texts import BEGUN, SAID
from model_answers import DEVICES, FIT, LOADED, MODELS, SHOWN
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input
from tui_rig import text_of, wait_until

from edgellm.tui.chat.opening import Opening

__all__ = ["FOLDER", "pictures"]

FOLDER = Path(__file__).parents[2] / "docs" / "images"
_SIZE = (110, 28)
_ANSWERS = {
    "/api/edgellm/models": MODELS,
    "/api/edgellm/ps": LOADED,
    "/api/edgellm/show": SHOWN,
    "/api/edgellm/devices": DEVICES,
    "/api/edgellm/fit": FIT,
}


async def _models(pilot: Pilot[Any]) -> None:
    await wait_until(pilot, lambda: "loading 42%" in text_of(pilot.app), "the list")


async def _adding(pilot: Pilot[Any]) -> None:
    await _models(pilot)
    await pilot.press("a")
    await wait_until(pilot, lambda: "Raspberry Pi 5, 8.0 GiB" in text_of(pilot.app), "the devices")
    field = pilot.app.screen.query_one("#source", Input)
    field.cursor_blink = False
    field.value = "acme/assistant"
    await wait_until(pilot, lambda: "Q4_K_M chosen" in text_of(pilot.app), "what fits")
    await wait_until(pilot, lambda: "INT4_32_M  ONNX" in text_of(pilot.app), "columns as wide as what is in them")


_SCENES: dict[str, Callable[[Pilot[Any]], Awaitable[None]]] = {"tui-models.svg": _models, "tui-add.svg": _adding}


def pictures() -> dict[str, str]:
    """File name -> SVG."""
    return {name: asyncio.run(_picture(scene)) for name, scene in _SCENES.items()} | {
        "tui-chat.svg": asyncio.run(_chat())
    }


async def _chat() -> str:
    """A conversation, and the next answer under way."""
    with utc(), tempfile.TemporaryDirectory() as folder, scripted_server(Path(folder)) as server:
        home = Path(folder) / "home"
        app = scripted_app(home, server, Opening(conversation=write_conversation(home, SAID[:2])), theme="dark")
        async with app.run_test(size=_SIZE) as pilot:
            await wait_until(pilot, lambda: "So it is." in text_of(app), "the conversation")
            pane = pane_of(app)
            pane.prompt.cursor_blink = False
            pane.again()
            await wait_until(pilot, lambda: len(server.requests) == 1, "the request")
            server.start()
            server.think("The user wants to know why.")
            server.say(BEGUN)
            await wait_until(
                pilot, lambda: "everywhere, and" in text_of(app) and "answering" in text_of(app), "the words"
            )
            return _export(app)


async def _picture(scene: Callable[[Pilot[Any]], Awaitable[None]]) -> str:
    app = CannedApp(_ANSWERS, theme="dark")
    async with app.run_test(size=_SIZE) as pilot:
        await scene(pilot)
        await pilot.pause()
        return _export(app)


def _export(app: App[Any]) -> str:
    drawn = app.export_screenshot(title="edgellm", simplify=True)
    return re.sub(r"terminal-\d+", "terminal", drawn)  # a name that is another one each time


if __name__ == "__main__":
    for name, text in pictures().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
