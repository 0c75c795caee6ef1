"""The assistant that adds a model: where from, for which device, in which recipe."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import DescendantBlur, DescendantFocus
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Button, DataTable, Input, Label, Select, Static

from edgellm.api.devices import DeviceList, DeviceRow
from edgellm.bundle.names import parse_name
from edgellm.errors import EdgeLLMError, UsageError
from edgellm.tui.connection import Connection
from edgellm.tui.jobs import start_job
from edgellm.tui.modals.confirm import Confirm
from edgellm.tui.models.fit import FitAnswer, FitRow, fit_cells, fit_order, fit_summary
from edgellm.tui.models.sources import LocalModel, find_local
from edgellm.tui.uploads import Uploader
from edgellm.tui.workers import start_work
from edgellm.units import format_bytes

__all__ = ["AddModel"]

_PAUSE_S = 0.6  # after the last key, before it is looked at
_HERE, _UNKNOWN = "here", "unknown"  # the second until the server has said what is here
_AUTO = "auto"
_FORMATS = [("automatic", _AUTO), ("GGUF", "gguf"), ("ONNX", "onnx")]
_NOTHING = "OWNER/MODEL[:QUANT] of a hub, a GGUF file, or the folder of a checkpoint. The table shows what fits."


class AddModel(ModalScreen[None]):
    """See the module. What fits is shown again after each change; the job does the rest."""

    CSS_PATH = "add_model.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Cancel"),
        Binding("ctrl+s", "start", "Add it"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._answer: FitAnswer | None = None
        self._local: LocalModel | None = None  # None for one of a hub
        self._here: DeviceRow | None = None
        self._pause: Timer | None = None
        self._asked: dict[str, Any] = {}
        self._goes_on = False  # to the table, once it is there
        self._uploader: Uploader | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="add"):
            yield Static("Add a model", classes="dialog--title")
            with Horizontal(classes="add--row"):
                yield Label("From")
                yield Input(placeholder="OWNER/MODEL, ./model.gguf or ./folder", id="source", compact=True)
            with Horizontal(classes="add--row"):
                yield Label("For")
                yield Select([("this device", _UNKNOWN)], value=_UNKNOWN, allow_blank=False, id="device", compact=True)
            with Horizontal(classes="add--row"):
                yield Label("Format")
                yield Select(_FORMATS, value=_AUTO, allow_blank=False, id="format", compact=True)
                yield Label("Context")
                yield Input(placeholder="as planned", id="context", type="integer", max_length=8, compact=True)
                yield Label("Name")
                yield Input(placeholder="as the model", id="name", compact=True)
            yield DataTable[Text](id="fit", cursor_type="row")
            yield Static(Content(_NOTHING), id="said")
            with Horizontal(classes="dialog--buttons"):
                yield Static(id="next")
                yield Button("Cancel", id="no", compact=True)
                yield Button("Add", id="yes", variant="primary", disabled=True, compact=True)

    def on_mount(self) -> None:
        """Ask which devices there are."""
        self.query_one(DataTable).add_columns("  Recipe", "Format", "Size", "Memory", "Fits", "Decode tok/s")
        self._uploader = Uploader(self._connection)
        start_work(self, "devices", self._read_devices)
        self.query_one("#source").focus()

    @property
    def _connection(self) -> Connection:
        from edgellm.tui.app import EdgeApp

        return cast(EdgeApp, self.app).connection

    async def _read_devices(self) -> None:
        try:
            found = await self._connection.get("/api/edgellm/devices", DeviceList)
        except EdgeLLMError as error:
            self._say(error)
            return
        self._here = found.here
        here = "this device" if found.here is None else f"this device: {_device_text(found.here)}"
        others = [(_device_text(device), device.id) for device in found.devices]
        self.query_one("#device", Select).set_options([(here, _HERE), *others])
        self.query_one("#device", Select).value = _HERE

    @on(Input.Changed, "#source,#context")
    @on(Select.Changed, "#device,#format")
    def _changed(self) -> None:
        """Look at it once the user pauses."""
        self._goes_on = False
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE_S, self._look)

    @on(Input.Submitted, "#source,#context,#name")
    def _submitted(self) -> None:
        """Go on to the table, at once or as soon as it is there."""
        self._goes_on = True
        self._look()
        self._go_on()

    def _go_on(self) -> None:
        if self._goes_on and self._row is not None:
            self._goes_on = False
            self.query_one(DataTable).focus()

    @on(DescendantFocus)
    @on(DescendantBlur)
    @on(DataTable.RowHighlighted)
    def _say_next(self) -> None:
        """What Enter does in the table, while it does that."""
        row = self._row if self.focused is self.query_one(DataTable) else None
        text = "" if row is None else f"Enter adds {row.recipe}"
        self.query_one("#next", Static).update(Content(text))

    def _look(self) -> None:
        asked = {
            "source": self._text("#source"),
            "device": self._device,
            "format": self._format,
            "context": self._text("#context"),
        }
        if asked == self._asked or not asked["source"]:
            return
        self._asked = asked
        self._forget()
        start_work(self, "fit", self._fit, exclusive=True)

    async def _fit(self) -> None:
        source, context = self._text("#source"), self._text("#context")
        assert self._uploader is not None
        try:
            local = find_local(source)
            files = {} if local is None else await self._uploader.send(local, self._report)
            folder = "" if local is None else local.folder
            self._tell(f"looking at {source}: its headers are read")
            order = fit_order(
                model=source,
                files=files,
                folder=folder,
                device=self._device,
                context=_number(context),
                format=self._format,
            )
            answer = await self._connection.post("/api/edgellm/fit", order, FitAnswer)
        except EdgeLLMError as error:
            self._asked = {}  # the same may go well the next time
            self._say(error)
            return
        self._local, self._answer = local, answer
        self._show(answer)

    def _show(self, answer: FitAnswer) -> None:
        table = self.query_one(DataTable)
        table.clear()
        for row in answer.rows:
            table.add_row(*(Text(cell) for cell in fit_cells(row)))
        chosen = next((index for index, row in enumerate(answer.rows) if row.chosen), 0)
        table.move_cursor(row=chosen)
        self._tell(fit_summary(answer, is_here=self._device is None))
        self.query_one("#yes", Button).disabled = not answer.rows
        self._go_on()
        self._say_next()

    @on(DataTable.RowSelected)
    @on(Button.Pressed, "#yes")
    def action_start(self) -> None:
        """Queue the job."""
        if self._answer is not None and not self.query_one("#yes", Button).disabled:
            start_work(self, "start", self._start, exclusive=True)

    async def _start(self) -> None:
        row = self._row
        if row is None:
            return
        try:
            order = self._order(row)
            if row.verdict == "does not fit":
                question = Confirm(
                    f"{row.recipe} does not fit",
                    f"It needs {format_bytes(row.needed_bytes)}; {format_bytes(row.memory_available_bytes)} are there.",
                    yes="Make it anyway",
                    hint="it will be refused, or be very slow, where it is loaded",
                )
                if not await self.app.push_screen_wait(question):
                    return
                order["force"] = True
            if self._local is not None:  # the server has them, unless another job has just ended with them
                assert self._uploader is not None
                order["files"] = await self._uploader.send(self._local, self._report)
            await start_job(self._connection, order)
        except EdgeLLMError as error:
            self._say(error)
            return
        self.app.notify("the job is queued: it goes on when this window is closed")
        self.dismiss(None)
        self.app.call_next(self.app.switch_mode, "jobs")

    def _order(self, row: FitRow) -> dict[str, Any]:
        """What the job is told. Raises UsageError for a name that is none."""
        order: dict[str, Any] = {"context": _number(self._text("#context")), "format": self._format}
        name = self._text("#name")
        if name:
            parse_name(name, default_tag="latest")
            order["name"] = name
        if not row.chosen:
            order |= {"quant": row.recipe, "format": row.format}
        device = self._device or (self._here.id if self._here is not None else "local")
        if self._local is not None:
            order |= {"kind": "pack", "folder": self._local.folder, "remove_files": True, "devices": [device]}
        else:
            order |= {"kind": "pull", "model": self._text("#source"), "device": self._device}
        return {key: value for key, value in order.items() if value is not None}

    @on(Button.Pressed, "#no")
    def _cancel(self) -> None:
        self.dismiss(None)

    @property
    def _device(self) -> str | None:
        """The profile that was chosen; None for this machine."""
        value = self.query_one("#device", Select).value
        return None if value in (_HERE, _UNKNOWN) else str(value)

    @property
    def _format(self) -> str | None:
        """The format that was chosen; None where edgellm chooses."""
        value = str(self.query_one("#format", Select).value)
        return None if value == _AUTO else value

    @property
    def _row(self) -> FitRow | None:
        table = self.query_one(DataTable)
        rows = [] if self._answer is None else self._answer.rows
        return rows[table.cursor_row] if 0 <= table.cursor_row < len(rows) else None

    def _text(self, selector: str) -> str:
        return self.query_one(selector, Input).value.strip()

    def _forget(self) -> None:
        self._answer = None
        self.query_one(DataTable).clear()
        self.query_one("#yes", Button).disabled = True

    def _report(self, what: str, done_bytes: int, total_bytes: int) -> None:
        self._tell(f"{what} the files: {format_bytes(done_bytes)} of {format_bytes(total_bytes)}")

    def _say(self, error: EdgeLLMError) -> None:
        self._tell(error.message if error.hint is None else f"{error.message}: {error.hint}")

    def _tell(self, text: str) -> None:
        self.query_one("#said", Static).update(Content(text))


def _device_text(device: DeviceRow) -> str:
    return f"{device.name}, {format_bytes(device.memory_bytes)} ({device.id})"


def _number(text: str) -> int | None:
    """Raises UsageError for a context that is none."""
    if not text:
        return None
    if not text.isdecimal() or int(text) < 16:
        raise UsageError(f"a context of {text} tokens is too small", hint="16 is the least")
    return int(text)
