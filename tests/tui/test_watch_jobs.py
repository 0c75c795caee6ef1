"""Jobs of a real server, watched and ordered in the terminal."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input
from tui_rig import app_of, run_app, text_of, wait_until

from edgellm.api.jobs import Job
from edgellm.tui.app import EdgeApp
from edgellm.tui.screens.jobs import JobsScreen
from edgellm.tui.widgets.keyed_table import KeyedTable
from hub_server import HubServer
from server_process import RunningServer, running_server

JOBS = "/api/edgellm/jobs"


def ask(server: RunningServer, **order: Any) -> str:
    """The id of a job that is started behind the terminal's back."""
    with server.client() as client:
        answer = client.post(JOBS, json=order)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def jobs_of(app: EdgeApp) -> JobsScreen:
    screen = app.screen
    assert isinstance(screen, JobsScreen), screen
    return screen


async def until_state(pilot: Pilot[None], app: EdgeApp, job_id: str, state: str) -> Job:
    """The job under the cursor, once it is in ``state``."""

    def found() -> bool:
        job = jobs_of(app).book.get(job_id)
        return job is not None and job.state == state

    await wait_until(pilot, lambda: isinstance(app.screen, JobsScreen) and found(), state)
    rows = [row.id for row in jobs_of(app).book.rows(0.0)]
    jobs_of(app).query_one(KeyedTable).move_cursor(row=rows.index(job_id))
    await wait_until(pilot, lambda: (job := jobs_of(app).job) is not None and job.id == job_id, "the cursor")
    job = jobs_of(app).job
    assert job is not None
    return job


def test_jobs_of_before_and_new_ones_are_shown_with_why_they_failed(own_home: Path, own_server: RunningServer) -> None:
    before = ask(own_server, kind="verify", name="tiny-llm")
    app = app_of(own_home, start="jobs")

    async def use(pilot: Pilot[None]) -> None:
        await until_state(pilot, app, before, "done")
        failed = ask(own_server, kind="verify", name="nothing")
        await until_state(pilot, app, failed, "failed")
        await wait_until(pilot, lambda: "there is no bundle" in text_of(app) and "next" in text_of(app), "the error")
        await pilot.press("r")
        await wait_until(pilot, lambda: (job := jobs_of(app).book.get(failed)) and job.attempts == 2, "another attempt")
        await until_state(pilot, app, failed, "failed")
        await pilot.press("delete")
        await wait_until(pilot, lambda: jobs_of(app).book.get(failed) is None, "forgetting")

    run_app(app, use)


def test_a_job_that_failed_cannot_be_cancelled(own_home: Path, own_server: RunningServer) -> None:
    failed = ask(own_server, kind="verify", name="nothing")
    app = app_of(own_home, start="jobs")

    async def use(pilot: Pilot[None]) -> None:
        await until_state(pilot, app, failed, "failed")
        screen = jobs_of(app)
        assert not screen.check_action("cancel", ())
        assert screen.check_action("resume", ())
        assert not screen.check_action("save", ())

    run_app(app, use)


def test_the_archive_of_an_export_is_written_where_the_user_says(
    own_home: Path, own_server: RunningServer, tmp_path: Path
) -> None:
    export = ask(own_server, kind="export", names=["tiny-llm"])
    app, target = app_of(own_home, start="jobs"), tmp_path / "mine.tar"
    (tmp_path / "there.tar").write_text("precious")

    async def use(pilot: Pilot[None]) -> None:
        await until_state(pilot, app, export, "done")
        await pilot.press("w")
        await wait_until(pilot, lambda: app.screen.query("#text"), "the question")
        field = app.screen.query_one("#text", Input)
        field.value = str(tmp_path / "there.tar")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "is there already" in text_of(app), "the refusal")
        field.value = str(target)
        await pilot.press("enter")
        await wait_until(pilot, target.exists, "the archive")
        await wait_until(pilot, lambda: isinstance(app.screen, JobsScreen), "the jobs")
        await pilot.press("delete")
        await wait_until(pilot, lambda: app.screen.query("#yes"), "the question")
        await pilot.press("escape")
        await until_state(pilot, app, export, "done")
        await pilot.press("delete")
        await wait_until(pilot, lambda: app.screen.query("#yes"), "the question")
        await pilot.press("tab", "enter")
        await wait_until(
            pilot, lambda: isinstance(app.screen, JobsScreen) and app.screen.book.get(export) is None, "forgetting"
        )

    run_app(app, use)
    with tarfile.open(target) as archive:
        assert "oci-layout" in archive.getnames()
    assert (tmp_path / "there.tar").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.glob("*.tar*")) == ["mine.tar", "there.tar"]


def test_a_download_is_cancelled_and_resumed_and_goes_on_while_nobody_looks(hub_root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with HubServer(hub_root, bytes_per_s=1_500_000) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "EDGELLM_DEVICE": "raspberrypi5"}
        with running_server(home, tmp_path / "log", environment=environment) as server:
            pull = ask(server, kind="pull", model="acme/tiny-llm-GGUF:Q4_K_M")
            app = app_of(home, start="jobs")

            async def stop_and_go(pilot: Pilot[None]) -> None:
                await wait_until(pilot, lambda: "downloading" in text_of(app), "the download")
                await wait_until(pilot, lambda: "MiB/s" in text_of(app), "the speed")
                await pilot.press("x")
                await until_state(pilot, app, pull, "cancelled")
                await pilot.press("r")
                await until_state(pilot, app, pull, "running")

            run_app(app, stop_and_go)
            later = app_of(home, start="jobs")

            async def look(pilot: Pilot[None]) -> None:
                job = await until_state(pilot, later, pull, "done")
                assert job.attempts == 2
                assert [phase.name for phase in job.phases]

            run_app(later, look)


def test_two_terminals_see_the_same_jobs(own_home: Path, own_server: RunningServer) -> None:
    first, second = app_of(own_home, start="jobs"), app_of(own_home, start="jobs")

    async def use(pilot: Pilot[None]) -> None:
        async with second.run_test() as other:
            await wait_until(pilot, lambda: first.connection.is_connected, "one connection")
            await wait_until(other, lambda: second.connection.is_connected, "the other")
            job = ask(own_server, kind="verify", name="nothing")
            await until_state(pilot, first, job, "failed")
            await until_state(other, second, job, "failed")
            await pilot.press("delete")
            await wait_until(other, lambda: jobs_of(second).book.get(job) is None, "forgetting over there")

    run_app(first, use)


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 60)])
def test_jobs_in_terminals_of_any_size(size: tuple[int, int], own_home: Path, own_server: RunningServer) -> None:
    job = ask(own_server, kind="verify", name="nothing")
    app = app_of(own_home, start="jobs")

    async def use(pilot: Pilot[None]) -> None:
        await until_state(pilot, app, job, "failed")
        await pilot.resize_terminal(*size)
        await wait_until(pilot, lambda: app.size == size, "the new size")
        await wait_until(pilot, lambda: "failed" in text_of(app), "the job")

    run_app(app, use)
