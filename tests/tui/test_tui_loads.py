"""Loads that are refused, stopped, or lost with their server, from the terminal."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from chat_rig import ENDLESS, TINY, chat_app, held_load, own_settings, pane_of, ready, texts
from textual.pilot import Pilot
from textual.widgets import DataTable
from tui_rig import WIDE, app_of, run_app, text_of, told, wait_until

from edgellm.tui.app import EdgeApp
from edgellm.tui.chat.opening import ChatStart, Opening
from edgellm.tui.modals.confirm import Confirm
from server_process import RunningServer, running_server

BUDGET = "215MiB"  # of the server too: tiny-llm has room, endless has not, whatever is left out


@pytest.fixture(scope="module")
def narrow_home(two_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same models where no other server is found."""
    home = tmp_path_factory.mktemp("narrow-home")
    shutil.copytree(two_models / "store", home / "store")
    return home


@pytest.fixture(scope="module")
def narrow(narrow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose memory is too small for the second model."""
    environment = {"EDGELLM_MEMORY_BUDGET": BUDGET}
    with running_server(narrow_home, tmp_path_factory.mktemp("narrow") / "log", environment=environment) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_loaded(narrow: RunningServer) -> Iterator[None]:
    yield
    with narrow.client() as client:
        for row in client.get("/api/edgellm/ps").json():
            client.post("/api/edgellm/stop", json={"model": row["name"]})


def states(server: RunningServer) -> dict[str, str]:
    with server.client() as client:
        return {row["name"]: row["state"] for row in client.get("/api/edgellm/ps").json()}


def load_order(app: EdgeApp) -> list[str]:
    """What is asked for or waits for an answer: a key would stop that."""
    return [worker.group for worker in app.workers if worker.group.startswith("load ") and not worker.is_finished]


async def on_row(pilot: Pilot[None], app: EdgeApp, name: str) -> None:
    """The cursor is on the row of ``name``."""
    await wait_until(pilot, lambda: "free for models" in text_of(app) and name.partition(":")[0] in text_of(app), name)
    await pilot.press("ctrl+home")
    if app.screen.current.name != name:  # type: ignore[attr-defined]
        await pilot.press("down")
    assert app.screen.current.name == name  # type: ignore[attr-defined]


def test_what_does_not_fit_is_loaded_when_the_user_says_so(narrow_home: Path, narrow: RunningServer) -> None:
    app = app_of(narrow_home)

    async def use(pilot: Pilot[None]) -> None:
        await on_row(pilot, app, ENDLESS)
        assert "does not" in text_of(app)  # the badge
        for answer in ("escape", "tab"):
            await pilot.press("space")
            await wait_until(pilot, lambda: "Load it anyway" in text_of(app), "the question")
            for text in (f"{ENDLESS} does not fit", "needs", "raise memory_budget"):
                assert text in text_of(app), text
            await pilot.press(answer)
            if answer == "escape":
                await wait_until(pilot, lambda: not isinstance(app.screen, Confirm), "the table")
                await wait_until(pilot, lambda: not load_order(app), "the end of the order")
                assert states(narrow) == {}
        await pilot.press("enter")
        await wait_until(pilot, lambda: "1 loaded" in text_of(app), "the load")
        await wait_until(pilot, lambda: f"{ENDLESS} is loaded" in told(app), "what is said")
        assert states(narrow) == {ENDLESS: "ready"}

    run_app(app, use, WIDE)


def test_a_chat_says_of_a_model_that_does_not_fit_how_it_is_loaded(
    narrow_home: Path, narrow: RunningServer, tmp_path: Path
) -> None:
    opening = Opening(model=ENDLESS, sampling={"max_tokens": 4})
    app = chat_app(own_settings(narrow_home, tmp_path / "state"), ChatStart(None, opening))

    async def use(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        pane_of(app).send("Hello")
        await wait_until(pilot, lambda: not pane_of(app).is_answering, "the refusal")
        shown = text_of(app)
        for text in ("needs", "raise memory_budget", "Space in the mode Models (F1) loads it all the same"):
            assert text in shown, text
        assert texts(pane_of(app).conversation) == ["Hello"]
        await pilot.press("f1")
        await on_row(pilot, app, ENDLESS)
        await pilot.press("space")
        await wait_until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("tab", "enter")
        await wait_until(pilot, lambda: "1 loaded" in text_of(app), "the load")
        await pilot.press("f4", "ctrl+g")
        await wait_until(pilot, lambda: len(pane_of(app).conversation) == 2, "the answer")

    run_app(app, use, WIDE)


def test_a_load_under_way_is_stopped_with_the_key_that_began_it(narrow_home: Path, narrow: RunningServer) -> None:
    app = app_of(narrow_home)

    async def use(pilot: Pilot[None]) -> None:
        await on_row(pilot, app, TINY)
        with held_load(narrow_home, TINY):
            await pilot.press("space")
            await wait_until(pilot, lambda: "loading" in text_of(app), "the load")
            assert states(narrow) == {TINY: "loading"}
            await pilot.press("space")
            await wait_until(pilot, lambda: states(narrow) == {}, "the end of the load")
            await wait_until(pilot, lambda: "loading" not in text_of(app), "the row")
            assert "0 loaded" in text_of(app)
        await pilot.press("space")  # and it can be loaded after that
        await wait_until(pilot, lambda: "1 loaded" in text_of(app), "another load")

    run_app(app, use, WIDE)


def test_the_load_of_somebody_else_is_finished_and_not_kept(narrow_home: Path, narrow: RunningServer) -> None:
    app = app_of(narrow_home)

    async def use(pilot: Pilot[None]) -> None:
        await on_row(pilot, app, TINY)
        with held_load(narrow_home, TINY):
            order = app.connection.post("/api/edgellm/load", {"model": TINY}, dict)
            load = app.run_worker(order, exit_on_error=False)
            await wait_until(pilot, lambda: "loading" in text_of(app), "the load")
            await pilot.press("space")
            await wait_until(pilot, lambda: "once its requests are done" in told(app), "what is said")
        await wait_until(pilot, lambda: load.is_finished, "the other's answer")
        await wait_until(pilot, lambda: states(narrow) == {}, "the end of it")
        await wait_until(pilot, lambda: "0 loaded" in text_of(app), "the row")

    run_app(app, use, WIDE)


def test_a_load_that_is_stopped_leaves_no_process(narrow_home: Path, narrow: RunningServer) -> None:
    app = app_of(narrow_home)
    server = psutil.Process(narrow.process.pid)

    def workers() -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return [each for each in server.children() if "edgellm_runtimes.worker" in each.cmdline()]
        return []  # one ended just now: look again

    async def use(pilot: Pilot[None]) -> None:
        await on_row(pilot, app, TINY)
        await pilot.press("space")
        await wait_until(pilot, workers, "its process")
        await pilot.press("space")
        await wait_until(pilot, lambda: states(narrow) == {}, "the end of the load")
        await wait_until(pilot, lambda: not workers(), "the end of its process")
        await wait_until(pilot, lambda: "0 loaded" in text_of(app), "the row")

    run_app(app, use)


def test_a_server_that_is_killed_while_a_model_loads(own_home: Path) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "free for models" in text_of(app), "the list")
        first = app.connection.server
        assert first is not None
        with held_load(own_home, TINY):
            await pilot.press("space")
            await wait_until(pilot, lambda: "loading" in text_of(app), "the load")
            os.kill(first.pid, signal.SIGKILL)
            await wait_until(pilot, lambda: app.connection.server != first and app.connection.is_connected, "the next")
            assert app.screen.query_one(DataTable).row_count == 1
        await wait_until(pilot, lambda: "loading" not in text_of(app) and "0 loaded" in text_of(app), "the row")
        await pilot.press("space")
        await wait_until(pilot, lambda: "1 loaded" in text_of(app), "the load by the next")

    run_app(app, use, WIDE)
