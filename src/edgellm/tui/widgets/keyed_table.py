"""A table whose rows have keys: what changes is drawn anew, the cursor stays on its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.text import Text

from edgellm.tui.models.text import Tone, shortened
from edgellm.tui.widgets.fixed_table import FixedTable
from edgellm.tui.widgets.tones import TONE_CLASSES, TONE_CSS

__all__ = ["Cell", "KeyedTable", "TableColumn"]


class TableColumn(NamedTuple):
    """``width`` in cells; one column of a table has 0, and takes what the others leave.

    A column is left out where the table has fewer than ``from_width`` cells. Of what is too long the end is left out,
    or with ``keeps_end`` the middle, as names want it.
    """

    name: str
    width: int
    from_width: int = 0
    align_right: bool = False
    keeps_end: bool = False


class Cell(NamedTuple):
    """A text, and how it is meant."""

    text: str
    tone: Tone = "plain"


class KeyedTable(FixedTable):
    """Rows that are shown again and again. ``show`` them; ``key`` is that of the row under the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES
    DEFAULT_CSS = "KeyedTable {" + TONE_CSS + "}"

    def __init__(self, columns: Sequence[TableColumn], *, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=False)
        self._all_columns = columns
        self._widths: list[int] = []  # of the columns; 0 for those that are left out
        self._shown: list[tuple[str, Sequence[Cell]]] = []
        self._theme = ""  # whose colours the cells have

    @property
    def key(self) -> str | None:
        """Of the row under the cursor; None in an empty table."""
        return self._shown[self.cursor_row][0] if self.cursor_row < len(self._shown) else None

    def show(self, rows: Sequence[tuple[str, Sequence[Cell]]]) -> None:
        """Show these rows: a key and a cell for every column, also for those that are left out here."""
        before, self._shown = self._shown, list(rows)
        if not self._widths:
            return
        if [key for key, _ in before] != [key for key, _ in rows] or self.row_count != len(rows):
            self._fill(before)
            return
        for (key, old), (_, new) in zip(before, rows, strict=True):
            for place, width in enumerate(self._widths):
                if width and old[place] != new[place]:
                    self.update_cell(key, str(place), self._text(place, new[place]))

    def notify_style_update(self) -> None:
        """Another theme: the cells get its colours, once they are known."""
        super().notify_style_update()
        if self._widths and self.app.theme != self._theme:
            self._theme = self.app.theme
            self.call_after_refresh(self._colour)

    def _colour(self) -> None:
        for key, cells in self._shown:
            for place, width in enumerate(self._widths):
                if width and cells[place].tone != "plain":
                    self.update_cell(key, str(place), self._text(place, cells[place]))

    def on_resize(self) -> None:
        """Another width may have room for more columns, or fewer."""
        widths = self._fitting(self.scrollable_content_region.width)
        if widths != self._widths:
            self._widths, self._theme = widths, self.app.theme
            key, scroll_y = self.key, self.scroll_y
            self.clear(columns=True)
            for place, (column, width) in enumerate(zip(self._all_columns, widths, strict=True)):
                if width:
                    label = Text(column.name, justify="right" if column.align_right else "left")
                    self.add_column(label, width=width, key=str(place))
            self._fill(self._shown, key, scroll_y)

    def _fill(
        self, before: Sequence[tuple[str, Sequence[Cell]]], key: str | None = None, scroll_y: float | None = None
    ) -> None:
        """All rows anew; the cursor goes to the row that it was on, or to its place where that is gone."""
        row, scroll_y = self.cursor_row, self.scroll_y if scroll_y is None else scroll_y
        if key is None and row < len(before):
            key = before[row][0]
        self.clear()
        for row_key, cells in self._shown:
            self.add_row(
                *(self._text(place, cells[place]) for place, width in enumerate(self._widths) if width), key=row_key
            )
        places = [place for place, (row_key, _) in enumerate(self._shown) if row_key == key]
        if self._shown:
            self.move_cursor(row=places[0] if places else min(row, len(self._shown) - 1), animate=False, scroll=False)
            self.scroll_to(y=scroll_y, animate=False, immediate=True)

    def _fitting(self, width: int) -> list[int]:
        widths = [0 if width < column.from_width else column.width for column in self._all_columns]
        shown = [place for place, column in enumerate(self._all_columns) if width >= column.from_width]
        rest = width - sum(widths) - 2 * self.cell_padding * len(shown)
        for place in shown:
            if self._all_columns[place].width == 0:
                widths[place] = max(8, rest)
        return widths

    def _text(self, place: int, cell: Cell) -> Text:
        column = self._all_columns[place]
        style = self.get_component_rich_style(f"tone--{cell.tone}", partial=True)
        return Text(
            shortened(cell.text, self._widths[place]) if column.keeps_end else cell.text,
            style=style,
            justify="right" if column.align_right else "left",
            no_wrap=True,
            overflow="ellipsis",
            end="",
        )
