"""What can be done with the model in the row of the cursor."""

from __future__ import annotations

from pathlib import Path

from textual.worker import WorkerState

from edgellm.api.models import (
    CopyRequest,
    LoadOrder,
    ModelRequest,
    ModelStatus,
    PinAnswer,
    PinRequest,
    RemovedAnswer,
    RenameRequest,
    ShowRequest,
    StopAnswer,
    StopRequest,
    StoredAnswer,
)
from edgellm.bundle.names import parse_name
from edgellm.errors import DoesNotFitError, UsageError
from edgellm.tui.jobs import export_to, free_path, start_job, watch_job
from edgellm.tui.modals.ask_text import AskText
from edgellm.tui.modals.confirm import Confirm
from edgellm.tui.models.details import ModelDetails
from edgellm.tui.models.listing import ModelRow
from edgellm.tui.screens.base import ModeScreen
from edgellm.units import format_bytes

__all__ = ["ModelActions"]


class ModelActions(ModeScreen):
    """Each runs beside the screen; what fails is shown with its hint. ``current`` is the model that is meant."""

    @property
    def current(self) -> ModelRow | None:
        """The model in the row of the cursor."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a model there is nothing to do to one: such keys are dimmed."""
        if action in _ABOUT_ONE and self.current is None:
            return None
        return super().check_action(action, parameters)

    def action_details(self) -> None:
        """Show everything about it."""
        if (row := self.current) is not None:
            self._do("details", self._details, row.name, exclusive=True)

    async def _details(self, name: str) -> None:
        model = await self.connection.post("/api/edgellm/show", ShowRequest(name), ModelDetails)
        from edgellm.tui.modals.details import DetailsModal  # with Markdown: 60 ms of a start without

        self.app.push_screen(DetailsModal(model))

    def action_toggle_loaded(self) -> None:
        """Load it, or unload it; while it loads, stop that."""
        row = self.current
        if row is None:
            return
        loading = [worker for worker in self.workers if worker.group == f"load {row.digest}"]
        if any(worker.state is WorkerState.RUNNING for worker in loading):
            self.workers.cancel_group(self, f"load {row.digest}")
        elif row.is_loaded:
            self._do(f"unload {row.digest}", self._unload, row.name)
        else:
            self._do(f"load {row.digest}", self._load, row.name)

    async def _load(self, name: str) -> None:
        try:
            status = await self.connection.post("/api/edgellm/load", LoadOrder(model=name), ModelStatus)
        except DoesNotFitError as error:
            question = Confirm(
                f"{name} does not fit", error.message, yes="Load it anyway", hint=error.hint or "it may be very slow"
            )
            if not await self.app.push_screen_wait(question):
                return
            status = await self.connection.post("/api/edgellm/load", LoadOrder(model=name, force=True), ModelStatus)
        self.notify(f"{status.name} is loaded, with a context of {status.context} tokens", markup=False)

    async def _unload(self, name: str) -> None:
        answer = await self.connection.post("/api/edgellm/stop", StopRequest(name), StopAnswer)
        done = "is unloaded" if answer.unloaded else "is unloaded once its requests are done"
        self.notify(f"{name} {done}", markup=False)

    def action_pin(self) -> None:
        """Keep it loaded, or let go of it."""
        if (row := self.current) is not None:
            self._do(f"pin {row.name}", self._pin, row.name, not row.pinned)

    async def _pin(self, name: str, pinned: bool) -> None:
        answer = await self.connection.post("/api/edgellm/pin", PinRequest(name, pinned), PinAnswer)
        said = "stays loaded once it is, and is loaded when the server starts" if answer.pinned else "is not pinned now"
        self.notify(f"{answer.name} {said}", markup=False)

    def action_chat(self) -> None:
        """Talk to it."""
        if (row := self.current) is not None:
            from edgellm.tui.app import EdgeApp

            assert isinstance(self.app, EdgeApp)
            self.app.open_chat(row.name)

    def action_copy_model(self) -> None:
        """Give it a second name."""
        if (row := self.current) is not None:
            self._do("name", self._copy, row.name, exclusive=True)

    async def _copy(self, name: str) -> None:
        new = await self._ask_name(f"A second name for {name}", name, "Copy")
        if new is not None:
            answer = await self.connection.post("/api/edgellm/copy", CopyRequest(name, new), StoredAnswer)
            self.notify(f"{name} is {answer.name} too; its files are there once", markup=False)

    def action_rename(self) -> None:
        """Give it another name."""
        if (row := self.current) is not None:
            self._do("name", self._rename, row.name, exclusive=True)

    async def _rename(self, name: str) -> None:
        new = await self._ask_name(f"Another name for {name}", name, "Rename")
        if new is not None and new != name:
            answer = await self.connection.post("/api/edgellm/rename", RenameRequest(name, new), StoredAnswer)
            self.notify(f"{name} is {answer.name} now", markup=False)

    async def _ask_name(self, title: str, name: str, yes: str) -> str | None:
        tag = name.rpartition(":")[2]
        question = AskText(
            title,
            value=name,
            yes=yes,
            hint=f"NAME:TAG, or NAME for the tag {tag}",
            check=lambda text: parse_name(text, default_tag=tag),
        )
        return await self.app.push_screen_wait(question)

    def action_delete(self) -> None:
        """Take it out of the store."""
        if (row := self.current) is not None:
            self._do("delete", self._delete, row, exclusive=True)

    async def _delete(self, row: ModelRow) -> None:
        if row.store == "system":
            raise UsageError(
                f"{row.name} is in the machine's store, which is not changed from here",
                hint="whoever looks after the machine removes it",
            )
        loaded = " It is loaded: requests that run are finished first." if row.is_loaded else ""
        question = Confirm(
            f"Delete {row.name}?",
            f"{format_bytes(row.size_bytes)} and its former version are removed for good.{loaded}",
            yes="Delete",
            typed=row.name.partition(":")[0],
        )
        if await self.app.push_screen_wait(question):
            answer = await self.connection.post("/api/edgellm/delete", ModelRequest(row.name), RemovedAnswer)
            freed = format_bytes(answer.freed_bytes)
            self.notify(f"{', '.join(answer.removed)} is gone; {freed} are free again", markup=False)

    def action_verify(self) -> None:
        """Read every byte of it and compare the digests."""
        if (row := self.current) is not None:
            self._do(f"verify {row.name}", self._verify, row.name)

    async def _verify(self, name: str) -> None:
        job = await start_job(self.connection, {"kind": "verify", "name": name})
        self.notify(f"{name} is being read: Jobs shows how far", markup=False)
        await watch_job(self.connection, job)
        self.notify(f"{name} is as it should be: every byte has its digest", markup=False)

    def action_export(self) -> None:
        """Write it to an archive."""
        if (row := self.current) is not None:
            self._do(f"export {row.name}", self._export, row.name)

    async def _export(self, name: str) -> None:
        suggested = Path.cwd() / f"{name.replace('/', '-').replace(':', '-')}.tar"
        question = AskText(
            f"Export {name} to",
            value=str(suggested),
            yes="Export",
            hint="an archive that `edgellm import` reads on the other device",
            check=free_path,
        )
        text = await self.app.push_screen_wait(question)
        if text is not None:
            path = free_path(text)
            self.notify(f"{name} is being exported: Jobs shows how far", markup=False)
            size_bytes = await export_to(self.connection, name, path)
            self.notify(f"{path} is written, {format_bytes(size_bytes)}", markup=False)


_ABOUT_ONE = {
    "details",
    "toggle_loaded",
    "pin",
    "chat",
    "copy_model",
    "rename",
    "delete",
    "verify",
    "export",
}
