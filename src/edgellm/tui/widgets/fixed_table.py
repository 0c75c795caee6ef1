"""A table that does not measure its cells: hundreds of rows are there within a frame."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.geometry import Size
from textual.widgets import DataTable
from textual.widgets.data_table import RowKey

__all__ = ["FixedTable"]


class FixedTable(DataTable[Text]):
    """Its columns are added with their widths, its rows have one line and no label.

    DataTable measures every cell of every new row also then: 100 ms for 500 models.
    """

    def _update_dimensions(self, new_rows: Iterable[RowKey]) -> None:
        width = sum(column.get_render_width(self) for column in self.columns.values())
        self.virtual_size = Size(width, self._total_row_height + (self.header_height if self.show_header else 0))
