"""Apps of a test's own: over a real server, or over answers that are always the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from edgellm.settings import SettingsWithOrigin, load_settings
from edgellm.tui.app import EdgeApp
from edgellm.tui.launch import Launcher

__all__ = ["NARROW", "WIDE", "app_of", "run_app", "settings_of", "text_of", "told", "wait_until"]

NARROW = (80, 24)
WIDE = (120, 40)
PATIENCE_S = 60.0


def settings_of(home: Path) -> SettingsWithOrigin:
    """The settings that `EDGELLM_HOME=home` means, with no server looked for by its address."""
    variables = {"EDGELLM_HOME": str(home), "EDGELLM_PORT": "0"}
    return load_settings(environ=variables, system_config=home / "none")


def app_of(home: Path, **options: Any) -> EdgeApp:
    """An app over the store in ``home``: of the server that runs there, else of one that it starts."""
    settings = settings_of(home)
    return EdgeApp(settings, Launcher(settings), **options)


def run_app(app: EdgeApp, use: Callable[[Pilot[None]], Awaitable[None]], size: tuple[int, int] = NARROW) -> None:
    """Run ``app`` in a terminal of ``size`` while ``use`` presses its keys."""

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await asyncio.wait_for(use(pilot), 2 * PATIENCE_S)

    asyncio.run(main())


async def wait_until(
    pilot: Pilot[Any], holds: Callable[[], object], what: str = "it", patience_s: float = 20.0
) -> None:
    """Let the app work until ``holds``."""
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until, f"{what} did not happen within {patience_s:g} s:\n{text_of(pilot.app)}"
        await pilot.pause(0.02)


def text_of(app: Any) -> str:
    """What the terminal shows now, without colours; nothing before the first screen is there."""
    if not app.screen_stack:
        return ""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


def told(app: Any) -> str:
    """What notifications say that are still shown, each on a line of its own."""
    return "\n".join(notification.message for notification in app._notifications)
