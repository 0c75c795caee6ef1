"""The mode Jobs: long work of the server, that of now and that of before."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from edgellm.api.jobs import Job, JobChanges, RemovedJob
from edgellm.tui.jobs import fetch_archive, free_path
from edgellm.tui.modals.ask_text import AskText
from edgellm.tui.modals.confirm import Confirm
from edgellm.tui.models.job_book import JobBook
from edgellm.tui.models.job_details import job_lines
from edgellm.tui.models.job_rows import JobRow, can_cancel, can_forget, can_resume, can_save
from edgellm.tui.screens.watched import WatchedScreen
from edgellm.tui.widgets.job_text import job_content
from edgellm.tui.widgets.keyed_table import Cell, KeyedTable, TableColumn
from edgellm.units import format_bytes

__all__ = ["JobsScreen"]

_ROUTE = "/api/edgellm/jobs"
_COLUMNS = (
    TableColumn("STATE", 11),
    TableColumn("JOB", 0, keeps_end=True),
    TableColumn("PROGRESS", 24),
    TableColumn("SPEED", 11, from_width=100, align_right=True),
    TableColumn("LEFT", 9, align_right=True),
    TableColumn("WHEN", 12, from_width=90, align_right=True),
)


class JobsScreen(WatchedScreen):
    """See the module. Jobs go on while nobody looks; a cancelled one can be resumed, so that nothing asks before."""

    MODE = "jobs"
    CSS_PATH = "jobs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "cancel", "Cancel", id="jobs.cancel"),
        Binding("r", "resume", "Resume", id="jobs.resume"),
        Binding("w", "save", "Write archive", id="jobs.save"),
        Binding("delete", "forget", "Forget", id="jobs.forget", key_display="Del"),
        Binding("y", "copy", "Copy", id="jobs.copy", tooltip="Copy all that is known about the job"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.book = JobBook()

    def compose_body(self) -> ComposeResult:
        """See the class."""
        yield Static(Content("Asking the server..."), id="summary")
        yield KeyedTable(_COLUMNS, id="jobs")
        with VerticalScroll(id="details", can_focus=True):
            yield Static(id="job")

    def on_mount(self) -> None:
        """Nothing is known yet."""
        super().on_mount()
        self.add_class("-empty")

    async def read_stream(self) -> None:
        """See ``WatchedScreen``."""
        decoder = msgspec.json.Decoder(JobChanges)
        async for changes in self.connection.events(f"{_ROUTE}/stream", decoder):
            self.take(changes, time.monotonic(), time.time())

    def take(self, changes: JobChanges, clock_s: float, now_s: float) -> None:
        """Show what the server told. ``clock_s`` only goes forward, ``now_s`` is since the epoch."""
        self.book.take(changes, clock_s)
        rows = self.book.rows(now_s)
        self.set_class(not rows, "-empty")
        self.query_one("#summary", Static).update(Content(self.book.summary()))
        table = self.query_one(KeyedTable)
        table.show([(row.id, _cells(row)) for row in rows])
        if self.focused is None and rows:
            table.focus()
        self._show_details(now_s)

    @property
    def job(self) -> Job | None:
        """The one under the cursor."""
        return self.book.get(self.query_one(KeyedTable).key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What cannot be done with this job is not offered."""
        allowed = {"cancel": can_cancel, "resume": can_resume, "forget": can_forget, "save": can_save}
        if action in allowed or action == "copy":
            job = self.job if self.is_mounted else None
            return job is not None and allowed.get(action, lambda _job: True)(job)
        return super().check_action(action, parameters)

    def action_cancel(self) -> None:
        """Stop it; what it has downloaded stays."""
        self._order("cancel")

    def action_resume(self) -> None:
        """Try it again."""
        self._order("resume")

    def action_copy(self) -> None:
        """All that is known about it, to the clipboard of the terminal."""
        job = self.job
        if job is not None:
            lines = job_lines(job, time.time(), self.book.meter(job.id))
            self.app.copy_to_clipboard(
                "\n".join(f"{line.name}: {line.text}" if line.name else line.text for line in lines)
            )
            self.notify("Copied", timeout=2)

    def action_forget(self) -> None:
        """Take it out of the list."""
        if (job := self.job) is not None:
            self._do("order", partial(self._forget, job))

    def action_save(self) -> None:
        """Write the archive of an export to a file of the user's."""
        if (job := self.job) is not None:
            self._do("save", partial(self._save, job))

    @on(KeyedTable.RowHighlighted)
    def _highlighted(self) -> None:
        self._show_details(time.time())

    def _show_details(self, now_s: float) -> None:
        job = self.job
        if job is not None:
            meter = self.book.meter(job.id)
            width = self.query_one("#details").scrollable_content_region.width
            self.query_one("#job", Static).update(job_content(job, job_lines(job, now_s, meter), width))
        self.refresh_bindings()

    def _order(self, what: str) -> None:
        if (job := self.job) is not None:
            self._do("order", partial(self.connection.post, f"{_ROUTE}/{job.id}/{what}", None, Job))

    async def _forget(self, job: Job) -> None:
        """An archive goes with it: that is asked for."""
        question = Confirm("Forget this export?", "The archive that it wrote is removed with it.", yes="Remove it")
        if not can_save(job) or await self.app.push_screen_wait(question):
            await self.connection.delete(f"{_ROUTE}/{job.id}", RemovedJob)

    async def _save(self, job: Job) -> None:
        names = getattr(job.order, "names", ["export"])
        suggested = Path.cwd() / f"{names[0].replace('/', '-').replace(':', '-')}.tar"
        question = AskText(
            "Write the archive to",
            value=str(suggested),
            yes="Write",
            hint="`edgellm import` reads it on the other device",
            check=free_path,
        )
        text = await self.app.push_screen_wait(question)
        if text is not None:
            path = free_path(text)
            size_bytes = await fetch_archive(self.connection, job.id, path)
            self.notify(f"{path} is written, {format_bytes(size_bytes)}", markup=False)


def _cells(row: JobRow) -> tuple[Cell, ...]:
    return (
        Cell(row.state, row.tone),
        Cell(f"{row.kind} {row.subject}"),
        Cell(row.progress, "bad" if row.tone == "bad" else "plain"),
        Cell(row.speed),
        Cell(row.left),
        Cell(row.when, "quiet"),
    )
