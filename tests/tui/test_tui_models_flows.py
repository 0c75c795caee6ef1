"""What is done with models, over a real server and its store."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Select
from tui_rig import WIDE, app_of, run_app, text_of, told, wait_until

from edgellm.bundle.names import default_name
from edgellm.tui.app import EdgeApp
from edgellm.tui.modals.ask_text import AskText
from edgellm.tui.modals.confirm import Confirm
from edgellm.tui.modals.details import DetailsModal
from hub_server import HubServer
from server_process import RunningServer, running_server
from tmpfs import tmpfs

NAME = "tiny-llm:raspberrypi5-q4_k_m"


def stored(server: RunningServer) -> dict[str, dict[str, Any]]:
    with server.client() as client:
        return {row["name"]: row for row in client.get("/api/edgellm/models").json()["models"]}


async def at_table(pilot: Pilot[None], app: EdgeApp) -> None:
    await wait_until(pilot, lambda: "free for models" in text_of(app), "the list")


async def typed(pilot: Pilot[None], app: EdgeApp, text: str) -> None:
    """Answer the question that is open with ``text``."""
    await wait_until(pilot, lambda: isinstance(app.screen, AskText | Confirm), "the question")
    app.screen.query_one(Input).value = text
    await pilot.press("enter")


def test_load_pin_and_unload(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("space")
        await wait_until(pilot, lambda: "1 loaded" in text_of(app), "loading")
        assert stored(own_server)[NAME]["state"] == "ready"
        await pilot.press("p")
        await wait_until(pilot, lambda: "*loaded" in text_of(app), "the pin")
        await pilot.press("space")
        await wait_until(pilot, lambda: "unpin it first" in told(app), "the refusal")
        await pilot.press("p")
        await wait_until(pilot, lambda: "*loaded" not in text_of(app), "the end of the pin")
        await pilot.press("space")
        await wait_until(pilot, lambda: "0 loaded" in text_of(app), "unloading")

    run_app(app, use)
    assert stored(own_server)[NAME]["state"] is None


def test_what_others_do_is_seen(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        async with httpx.AsyncClient(base_url=own_server.url, timeout=60, trust_env=False) as other:
            await other.post("/api/edgellm/load", json={"model": NAME})
            await wait_until(pilot, lambda: "1 loaded" in text_of(app), "the other's loading")
            await other.post("/api/edgellm/copy", json={"model": NAME, "name": "zebra:v1"})
            await wait_until(pilot, lambda: "zebra:v1" in text_of(app), "the other's copy")

    run_app(app, use)


def test_copy_rename_and_delete(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("y")
        await typed(pilot, app, "helper")
        await wait_until(pilot, lambda: "helper:raspberrypi5" in text_of(app), "the copy")
        await pilot.press("ctrl+home", "n")
        await typed(pilot, app, "assistant:v1")
        await wait_until(pilot, lambda: "assistant:v1" in stored(own_server), "the new name")
        await wait_until(pilot, lambda: "assistant:v1" in text_of(app), "the row")
        await pilot.press("ctrl+home", "x")
        await typed(pilot, app, "assistan")  # not the name: nothing happens
        assert isinstance(app.screen, Confirm)
        await typed(pilot, app, "assistant")
        await wait_until(pilot, lambda: "assistant:v1" not in stored(own_server), "the end of it")
        await wait_until(pilot, lambda: "1 model," in text_of(app), "the table")

    run_app(app, use)
    assert list(stored(own_server)) == [NAME]


def test_a_name_that_is_none_is_refused_in_the_question(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("y")
        await typed(pilot, app, "no/such name")
        await wait_until(pilot, lambda: "no/such name" in text_of(app), "the refusal")
        assert isinstance(app.screen, AskText)
        await pilot.press("escape")

    run_app(app, use)
    assert list(stored(own_server)) == [NAME]


def test_details_explain_the_plan_and_copy_the_digest(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, DetailsModal), "the details")
        await wait_until(pilot, lambda: "Q4_K_M as asked for" in text_of(app), "the reason")
        await pilot.press("y")
        await wait_until(pilot, lambda: app.clipboard == stored(own_server)[NAME]["digest"], "the clipboard")

    run_app(app, use)


def test_verify_reads_every_byte_and_tells_of_damage(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)
    blob = max((own_home / "store" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("v")
        await wait_until(pilot, lambda: "every byte has its digest" in told(app), "the check")
        blob.chmod(0o644)
        with blob.open("r+b") as file:
            file.seek(blob.stat().st_size // 2)
            file.write(b"damaged!")
        await pilot.press("v")
        await wait_until(pilot, lambda: "damaged" in told(app), "the damage")

    run_app(app, use)


def test_export_writes_an_archive(own_home: Path, own_server: RunningServer, tmp_path: Path) -> None:
    app = app_of(own_home)
    archive = tmp_path / "tiny.tar"

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("e")
        await typed(pilot, app, str(own_home))
        await wait_until(pilot, lambda: "is there already" in text_of(app), "the refusal")
        await typed(pilot, app, str(archive))
        await wait_until(pilot, archive.exists, "the archive")

    run_app(app, use)
    with tarfile.open(archive) as tar:
        assert "index.json" in tar.getnames()
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_full_disk_is_said_and_no_part_stays(own_home: Path, own_server: RunningServer, tmp_path: Path) -> None:
    app = app_of(own_home)

    with tmpfs(tmp_path / "disk", "size=1m") as disk:

        async def use(pilot: Pilot[None]) -> None:
            await at_table(pilot, app)
            await pilot.press("e")
            await typed(pilot, app, str(disk / "tiny.tar"))
            await wait_until(pilot, lambda: "No space left" in told(app), "the error")
            await pilot.press("p")
            await wait_until(pilot, lambda: "*-" in text_of(app), "what is done next")

        run_app(app, use)
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "gguf"])
def test_adding_a_model_of_this_disk(
    own_home: Path, own_server: RunningServer, tiny_llm: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    source = tiny_llm if kind == "folder" else request.getfixturevalue("tiny_gguf")
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("a")
        await wait_until(pilot, lambda: "Add a model" in text_of(app), "the assistant")
        app.screen.query_one("#source", Input).value = str(source)
        app.screen.query_one("#name", Input).value = "added:v1"
        await wait_until(pilot, lambda: not app.screen.query_one("#yes").disabled, "the fit table")
        await pilot.press("ctrl+s")
        await wait_until(pilot, lambda: app.current_mode == "jobs", "the job")
        await wait_until(pilot, lambda: "added:v1" in stored(own_server), "the model", 120)
        await pilot.press("f1")
        await wait_until(pilot, lambda: "added:v1" in text_of(app), "its row")

    run_app(app, use)


def test_a_folder_gives_the_model_and_the_job_its_name_and_its_copies_go(
    own_home: Path, own_server: RunningServer, tiny_llm: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "My Model 2"
    shutil.copytree(tiny_llm, folder)
    (folder / "config.json").write_text((tiny_llm / "config.json").read_text() + "\n")
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("a")
        await wait_until(pilot, lambda: "Add a model" in text_of(app), "the assistant")
        app.screen.query_one("#source", Input).value = str(folder)
        await wait_until(pilot, lambda: not app.screen.query_one("#yes").disabled, "the fit table")
        await pilot.press("ctrl+s")
        await wait_until(pilot, lambda: "pack My Model 2" in text_of(app), "the job's name")
        await wait_until(pilot, lambda: len(stored(own_server)) == 2, "the model", 120)
        await wait_until(pilot, lambda: "removed the copies" in text_of(app), "what is said of the copies")

    run_app(app, use, WIDE)
    [added] = [row for name, row in stored(own_server).items() if name != NAME]
    assert added["name"] == str(default_name(folder.name, added["device"], added["recipe"]))
    assert [path for path in (own_home / "store").rglob("*") if path.parent.name == "downloads"] == []
    assert [path for path in (own_home / "state" / "jobs").iterdir() if path.is_dir()] == []


def test_a_folder_is_added_in_the_format_that_is_chosen(
    own_home: Path, own_server: RunningServer, tiny_llm: Path
) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("a")
        await wait_until(pilot, lambda: "this device:" in text_of(app), "the devices")
        app.screen.query_one("#source", Input).value = str(tiny_llm)
        app.screen.query_one("#name", Input).value = "added:v1"
        await wait_until(pilot, lambda: not app.screen.query_one("#yes").disabled, "the fit table", 60)
        table = app.screen.query_one("#fit", DataTable)
        formats = {str(table.get_row_at(index)[1]) for index in range(table.row_count)}
        assert formats == {"GGUF", "ONNX"}
        app.screen.query_one("#format", Select).focus()
        await pilot.press("enter", "end", "enter")
        await wait_until(pilot, lambda: app.screen.query_one("#yes").disabled, "the table is made anew")
        await wait_until(pilot, lambda: not app.screen.query_one("#yes").disabled, "the fit table", 60)
        assert {str(table.get_row_at(index)[1]) for index in range(table.row_count)} == {"ONNX"}
        await pilot.press("ctrl+s")
        await wait_until(pilot, lambda: "added:v1" in stored(own_server), "the model", 120)

    run_app(app, use, WIDE)
    assert stored(own_server)["added:v1"]["format"] == "ONNX"


def test_adding_a_model_of_a_hub(own_home: Path, hub_root: Path, tmp_path: Path) -> None:
    app = app_of(own_home)
    with HubServer(hub_root) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "EDGELLM_DEVICE": "raspberrypi5"}
        with running_server(own_home, tmp_path / "log", environment=environment) as server:

            async def use(pilot: Pilot[None]) -> None:
                await at_table(pilot, app)
                await pilot.press("a")
                await wait_until(pilot, lambda: "Raspberry Pi 5" in text_of(app), "the devices")
                app.screen.query_one("#source", Input).value = "acme/tiny-llm-GGUF"
                app.screen.query_one("#name", Input).value = "fetched:v1"
                await wait_until(pilot, lambda: not app.screen.query_one("#yes").disabled, "the fit table")
                assert "Q4_K_M" in text_of(app)
                await pilot.press(*["tab"] * 5, "enter")  # the row of the table
                await wait_until(pilot, lambda: app.current_mode == "jobs", "the job")
                await wait_until(pilot, lambda: "fetched:v1" in stored(server), "the model", 60)

            run_app(app, use)
            assert stored(server)["fetched:v1"]["device"] == "raspberrypi5"


def test_every_action_is_in_the_command_palette(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("ctrl+p", *"keep the server")
        await wait_until(pilot, lambda: "last terminal" in text_of(app), "the command")
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: "the server stays" in told(app), "its answer")
        await pilot.press("ctrl+p", *"verify")
        await wait_until(pilot, lambda: "On this screen: v" in text_of(app), "the action")
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: "every byte has its digest" in told(app), "the check")

    run_app(app, use)


def test_a_source_that_is_none_is_said(own_home: Path, own_server: RunningServer) -> None:
    app = app_of(own_home)

    async def use(pilot: Pilot[None]) -> None:
        await at_table(pilot, app)
        await pilot.press("a")
        await wait_until(pilot, lambda: "Add a model" in text_of(app), "the assistant")
        app.screen.query_one("#source", Input).value = "./nothing.gguf"
        await wait_until(pilot, lambda: "there is no" in text_of(app), "the error")

    run_app(app, use)
