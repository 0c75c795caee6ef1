"""A server that goes away under the app, and comes back."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input
from tui_rig import app_of, run_app, text_of, wait_until

from edgellm.running import running_servers
from server_process import running_server
from worker_rig import is_gone
from worker_rig import wait_until as wait_for


def test_the_end_of_a_server_is_said_another_is_found_and_nothing_typed_is_lost(own_home: Path, tmp_path: Path) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        with running_server(own_home, tmp_path / "log") as first:
            await wait_until(pilot, lambda: "1 model," in text_of(app), "the list")
            await pilot.press("slash", *"tiny")
            first.process.kill()
            await wait_until(pilot, lambda: app.connection.state == "lost", "the loss")
            await wait_until(pilot, lambda: "Ctrl+R now" in text_of(app), "the banner")
            assert app.screen.query_one("#filter", Input).value == "tiny"
            assert "1 model," in text_of(app)  # what was read stays
        await wait_until(pilot, lambda: app.connection.is_connected, "another server")
        await wait_until(pilot, lambda: "Ctrl+R now" not in text_of(app), "the end of the banner")
        assert app.screen.query_one("#filter", Input).value == "tiny"
        (server,) = running_servers(own_home / "run")
        assert server.pid != first.process.pid

    run_app(app, use)
    for server in running_servers(own_home / "run"):
        wait_for(lambda pid=server.pid: is_gone(pid))  # type: ignore[misc]


def test_what_is_asked_while_the_server_is_lost_fails_with_a_hint(own_home: Path) -> None:
    from canned import CannedApp
    from model_answers import LOADED, MODELS

    from edgellm.errors import NetworkError

    app = CannedApp({"/api/edgellm/models": MODELS, "/api/edgellm/ps": LOADED})

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "5 models" in text_of(app), "the list")
        app.canned.lose(NetworkError("the server has ended", hint="looking for another one"), 8.0)
        await pilot.press("p")
        await wait_until(pilot, lambda: text_of(app).count("the server has ended") == 2, "banner and answer")
        app.canned.found()
        await wait_until(pilot, lambda: "Ctrl+R now" not in text_of(app), "the end of the banner")

    run_app(app, use)
