"""The mode Models: what is in the store, what fits, what is loaded."""

from __future__ import annotations

import contextlib
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Resize
from textual.theme import Theme
from textual.widgets import DataTable, Input, Static

from edgellm.api.changes import Changes
from edgellm.errors import EdgeLLMError
from edgellm.tui.models.listing import (
    COLUMNS,
    LoadStatus,
    ModelList,
    ModelRow,
    matching,
    sorted_rows,
    with_progress,
)
from edgellm.tui.screens.model_actions import ModelActions
from edgellm.tui.widgets.model_table import ModelTable
from edgellm.tui.workers import start_work
from edgellm.units import format_bytes

__all__ = ["ModelsScreen"]

_EMPTY = """The store is empty.

Press a to add a model: from a hub (OWNER/MODEL), from a GGUF file or from the folder of a checkpoint."""


class ModelsScreen(ModelActions):
    """See the module."""

    MODE = "models"
    CSS_PATH = "models.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "toggle_loaded", "Load/unload", id="models.load"),
        Binding("r", "chat", "Run", id="models.run", tooltip="Talk to it"),
        Binding("a", "add", "Add", id="models.add"),
        Binding("p", "pin", "Pin", id="models.pin"),
        Binding("slash", "filter", "Filter", id="models.filter", key_display="/"),
        Binding("o", "sort", "Sort", id="models.sort"),
        Binding("O", "reverse", "Reverse the order", id="models.reverse", show=False),
        Binding("y", "copy_model", "Copy", id="models.copy", show=False),
        Binding("n", "rename", "Rename", id="models.rename", show=False),
        Binding("x,delete", "delete", "Delete", id="models.delete", show=False),
        Binding("v", "verify", "Verify", id="models.verify", show=False),
        Binding("e", "export", "Export", id="models.export", show=False),
        Binding("u", "refresh_models", "Read the list again", id="models.refresh", show=False),
        Binding("escape", "clear_filter", "Show all", id="models.all", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._list: ModelList | None = None
        self._seen: Changes | None = None
        self._rows: dict[str, ModelRow] = {}

    def compose_body(self) -> ComposeResult:
        yield Input(placeholder="words of the name, device, recipe, licence, fits, loaded, pinned", id="filter")
        yield Static(Content("looking for the models"), id="note", classes="empty")
        yield ModelTable()
        yield Static(id="sum")

    def on_mount(self) -> None:
        """Follow the server and the colours."""
        super().on_mount()
        self.connection.news.subscribe(self, self._news)
        self.app.theme_changed_signal.subscribe(self, self._theme_changed)
        self._table.focus()

    @property
    def current(self) -> ModelRow | None:
        """The model in the row of the cursor."""
        name = self._table.selected if self.is_mounted else None
        return None if name is None else self._rows.get(name)

    def on_connected(self) -> None:
        """Read the list."""
        self.action_refresh_models()

    def action_refresh_models(self) -> None:
        """Read the list again."""
        start_work(self, "models", self._read, exclusive=True)

    def action_add(self) -> None:
        """Open the assistant that adds a model."""
        from edgellm.tui.modals.add_model import AddModel

        self.app.push_screen(AddModel())

    def action_filter(self) -> None:
        """Type words; rows without them are hidden."""
        self._filter.add_class("-shown")
        self._filter.focus()

    def action_clear_filter(self) -> None:
        """Show every model again."""
        self._filter.value = ""
        self._filter.remove_class("-shown")
        self._table.focus()

    def action_sort(self) -> None:
        """By the next column that is shown."""
        keys = self._table.column_keys
        now = self._table.sort_key
        self._sort_by(keys[(keys.index(now) + 1) % len(keys)] if now in keys else keys[0])

    def action_reverse(self) -> None:
        """The other way round."""
        self._table.is_reversed = not self._table.is_reversed
        self._show()

    def on_resize(self, _event: Resize) -> None:
        """Other columns may have room now."""
        self._show()

    @property
    def _table(self) -> ModelTable:
        return self.query_one(ModelTable)

    @property
    def _filter(self) -> Input:
        return self.query_one("#filter", Input)

    def _news(self, changes: Changes) -> None:
        if self._seen is None or (changes.models, changes.store) != (self._seen.models, self._seen.store):
            self.action_refresh_models()
        self._seen = changes

    def _theme_changed(self, _theme: Theme) -> None:
        self._show()

    async def _read(self) -> None:
        try:
            self._list = await self.connection.get("/api/edgellm/models", ModelList)
        except EdgeLLMError as error:
            if self.connection.is_connected:  # else the banner says it
                self.tell(error)
            return
        self._take(self._list.models)

    def _take(self, rows: list[ModelRow]) -> None:
        self._rows = {row.name: row for row in rows}
        self._show()
        if any(row.state == "loading" for row in rows):
            self.set_timer(_LOADING_S, lambda: start_work(self, "loading", self._follow_loading, exclusive=True))

    async def _follow_loading(self) -> None:
        """How far those are that load: the server tells by itself only when one begins or is there."""
        if self._list is None or not self.connection.is_connected:
            return
        with contextlib.suppress(EdgeLLMError):
            statuses = await self.connection.get("/api/edgellm/ps", list[LoadStatus])
            self._list = with_progress(self._list, statuses)
            self._take(self._list.models)

    def _show(self) -> None:
        if self._list is None or not self.is_mounted:
            return
        table, words = self._table, self._filter.value
        found = sorted_rows(matching(self._list.models, words), table.sort_key, is_reversed=table.is_reversed)
        table.show(found, self._list.memory, self.size.width)
        note = self.query_one("#note", Static)
        note.display = not found
        note.update(Content(f"No model has {words!r}. Esc shows all." if self._list.models else _EMPTY))
        table.display = bool(found)
        self.query_one("#sum", Static).update(Content(_summary(self._list, len(found))))
        self.refresh_bindings()

    def _sort_by(self, key: str) -> None:
        table = self._table
        table.is_reversed = key in _LARGEST_FIRST if key != table.sort_key else not table.is_reversed
        table.sort_key = key
        self._show()

    @on(Input.Changed, "#filter")
    def _filtered(self) -> None:
        self._show()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self._filter.set_class(bool(self._filter.value), "-shown")
        self._table.focus()

    @on(DataTable.HeaderSelected)
    def _header_clicked(self, event: DataTable.HeaderSelected) -> None:
        if event.column_key.value in {column.key for column in COLUMNS}:
            self._sort_by(str(event.column_key.value))

    @on(DataTable.RowSelected)
    def _row_chosen(self) -> None:
        self.action_details()


_LOADING_S = 1.0
_LARGEST_FIRST = {"size", "speed", "context"}


def _summary(listing: ModelList, n_shown: int) -> str:
    """How many, how large, and what memory is left."""
    models, memory = listing.models, listing.memory
    noun = "model" if len(models) == 1 else "models"
    count = f"{len(models)} {noun}" if n_shown == len(models) else f"{n_shown} of {len(models)} {noun}"
    n_loaded = len({row.digest for row in models if row.state not in (None, "loading")})
    return (
        f"{count}, {n_loaded} loaded; "
        f"{format_bytes(max(0, memory.left_bytes))} of {format_bytes(memory.models_bytes)} free for models"
    )
