"""A server that goes away under the app, and comes back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from canned import CannedApp
from model_answers import LOADED, MODELS
from textual.pilot import Pilot
from textual.widgets import Input
from tui_rig import app_of, run_app, text_of, told, wait_until

from edgellm.errors import NetworkError
from edgellm.running import running_servers
from worker_rig import is_gone
from worker_rig import wait_until as wait_for


def test_the_end_of_a_server_is_said_another_is_found_and_nothing_typed_is_lost(own_home: Path) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "1 model," in text_of(app), "the list")
        await pilot.press("slash", *"tiny")
        assert app.connection.server is not None
        killed = app.connection.server.pid
        os.kill(killed, signal.SIGKILL)
        await wait_until(pilot, lambda: "Ctrl+R now" in text_of(app), "the banner")
        assert "1 model," in text_of(app)  # what was read stays
        assert app.screen.query_one("#filter", Input).value == "tiny"
        await wait_until(pilot, lambda: app.connection.is_connected, "another server")
        await wait_until(pilot, lambda: "Ctrl+R now" not in text_of(app), "the end of the banner")
        assert app.screen.query_one("#filter", Input).value == "tiny"
        assert app.connection.server.pid != killed

    run_app(app, use)
    for server in running_servers(own_home / "run"):
        wait_for(lambda pid=server.pid: is_gone(pid))  # type: ignore[misc]


def test_what_is_asked_while_the_server_is_lost_fails_with_a_hint(own_home: Path) -> None:
    app = CannedApp({"/api/edgellm/models": MODELS, "/api/edgellm/ps": LOADED})

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "5 models" in text_of(app), "the list")
        app.canned.lose(NetworkError("the server has ended", hint="looking for another one"), 8.0)
        await pilot.press("p")
        await wait_until(pilot, lambda: "the server has ended" in told(app), "the answer")
        assert "the server has ended" in text_of(app).splitlines()[1]  # the banner, below the modes
        app.canned.found()
        await wait_until(pilot, lambda: "Ctrl+R now" not in text_of(app), "the end of the banner")

    run_app(app, use)
