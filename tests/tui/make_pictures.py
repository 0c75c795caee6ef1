"""The pictures of the documents: `python tests/tui/make_pictures.py` draws them anew from the snapshots' answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from canned import CannedApp
from model_answers import DEVICES, FIT, LOADED, MODELS, SHOWN
from textual.pilot import Pilot
from textual.widgets import Input
from tui_rig import text_of, wait_until

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


_SCENES: dict[str, Callable[[Pilot[Any]], Awaitable[None]]] = {"tui-models.svg": _models, "tui-add.svg": _adding}


def pictures() -> dict[str, str]:
    """File name -> SVG."""
    return {name: asyncio.run(_picture(scene)) for name, scene in _SCENES.items()}


async def _picture(scene: Callable[[Pilot[Any]], Awaitable[None]]) -> str:
    app = CannedApp(_ANSWERS, theme="dark")
    async with app.run_test(size=_SIZE) as pilot:
        await scene(pilot)
        await pilot.pause()
        drawn = app.export_screenshot(title="edgellm", simplify=True)
    return re.sub(r"terminal-\d+", "terminal", drawn)  # a name that is another one each time


if __name__ == "__main__":
    for name, text in pictures().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
