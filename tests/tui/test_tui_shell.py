"""The app around its modes, over a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from textual.pilot import Pilot
from tui_rig import app_of, run_app, wait_until

from edgellm.tui.app import MODE_TITLES
from server_process import RunningServer


def test_every_mode_is_a_key_away_and_the_running_server_is_used(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: app.connection.is_connected, "the connection")
        assert app.connection.server is not None
        assert app.connection.server.pid == own_server.process.pid
        for number, mode in enumerate(MODE_TITLES, 1):
            await pilot.press(f"f{number}")
            await wait_until(pilot, lambda mode=mode: app.current_mode == mode, mode)  # type: ignore[misc]

    run_app(app, use)


def test_the_first_screen_imports_nothing_that_it_can_do_without() -> None:
    heavy = ("numpy", "httpx", "llama_cpp", "starlette", "psutil", "jinja2", "gguf", "markdown_it", "edgellm.store")
    modules = "edgellm.tui.session, edgellm.tui.app, edgellm.tui.screens.models"
    code = f"import sys, {modules}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
