"""The table of models: one row each, kept while its cells change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate

from edgellm.tui.models.listing import COLUMNS, Column, ModelRow, Room, columns_for
from edgellm.tui.widgets.fixed_table import FixedTable

__all__ = ["ModelTable"]

_DOWN, _UP = "v", "^"
_LONGEST_NAME = 44
_SHORTEST_NAME = 16


class ModelTable(FixedTable):
    """See the module. ``sort_key`` and ``is_reversed`` are shown in the header; whoever fills it sorts."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select_cursor", "Details", id="models.details")]

    def __init__(self) -> None:
        super().__init__(cursor_type="row", cell_padding=1, zebra_stripes=False, id="models")
        self.sort_key = "name"
        self.is_reversed = False
        self._columns_shown: list[Column] = []
        self._longest_name = _LONGEST_NAME
        self._header: tuple[object, ...] = ()
        self._shown: list[tuple[str, tuple[tuple[str, str], ...]]] = []  # name, and text with style of each cell

    @property
    def column_keys(self) -> list[str]:
        """Of the columns that are shown."""
        return [column.key for column in self._columns_shown]

    @property
    def selected(self) -> str | None:
        """The full name in the row of the cursor."""
        return self._shown[self.cursor_row][0] if 0 <= self.cursor_row < len(self._shown) else None

    def show(self, rows: Sequence[ModelRow], room: Room, width: int) -> None:
        """Show ``rows`` in this order. The cursor stays on its model."""
        cells = {column.key: [(column.text(row, room), column.style(row, room)) for row in rows] for column in COLUMNS}
        natural = {
            column.key: max(self._title(column).cell_len, *(cell_len(text) for text, _ in cells[column.key]), 0)
            for column in COLUMNS
        }
        natural["name"] = min(natural["name"], _LONGEST_NAME)
        padding = 2 * self.cell_padding
        table_width = width - self.styles.scrollbar_size_vertical
        sortable = {column.key: max(natural[column.key], len(column.title) + len(f" {_UP}")) for column in COLUMNS}
        columns = columns_for(
            table_width, {key: size + padding for key, size in sortable.items()}, _SHORTEST_NAME + padding
        )
        others = sum(natural[column.key] + padding for column in columns if column.key != "name")
        longest_name = max(_SHORTEST_NAME, min(natural["name"], table_width - others - padding))
        shown = [(row.name, tuple(cells[column.key][place] for column in columns)) for place, row in enumerate(rows)]
        widths = [longest_name if column.key == "name" else natural[column.key] for column in columns]
        header = (width, widths, self.sort_key, self.is_reversed, self.app.theme)
        if header == self._header and [name for name, _ in shown] == [name for name, _ in self._shown]:
            self._update(shown)
            return
        selected, scroll = self.selected, self.scroll_offset
        self._longest_name = longest_name
        self._header, self._columns_shown, self._shown = header, columns, shown
        self.clear(columns=True)
        for column, size in zip(columns, widths, strict=True):
            self.add_column(self._title(column), key=column.key, width=size)
        self.add_rows([self._cell(index, *cell) for index, cell in enumerate(cells)] for _, cells in shown)
        names = [name for name, _ in shown]
        if selected in names:
            self.move_cursor(row=names.index(selected), scroll=False)
            self.call_after_refresh(self.scroll_to, y=scroll.y, animate=False)

    def _update(self, shown: list[tuple[str, tuple[tuple[str, str], ...]]]) -> None:
        for row, ((_, old), (_, new)) in enumerate(zip(self._shown, shown, strict=True)):
            for index, cell in enumerate(new):
                if old[index] != cell:
                    self.update_cell_at(Coordinate(row, index), self._cell(index, *cell))
        self._shown = shown

    def _title(self, column: Column) -> Text:
        mark = "" if column.key != self.sort_key else f" {_UP if self.is_reversed else _DOWN}"
        return Text(column.title + mark, no_wrap=True)

    def _cell(self, index: int, text: str, style: str) -> Text:
        column = self._columns_shown[index]
        if column.key == "name" and len(text) > self._longest_name:
            text = f"{text[: self._longest_name - 1]}…"
        return Text(text, style=self._style(style), no_wrap=True, end="", justify="right" if column.right else "left")

    def _style(self, name: str) -> Style:
        colour = getattr(self.app.current_theme, name, None) if name else None
        return Style() if colour is None else Style.parse(str(colour).removeprefix("ansi_"))
