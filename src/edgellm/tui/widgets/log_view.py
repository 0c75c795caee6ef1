"""A log that can be scrolled, filtered and followed; thousands of lines cost no widget each."""

from __future__ import annotations

import textwrap
from collections import deque
from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from edgellm.api.log import LogLine
from edgellm.tui.models.log_rows import LogFilter, LogRow, log_rows
from edgellm.tui.widgets.tones import TONE_CLASSES, TONE_CSS

__all__ = ["LogView"]

_MOMENT_WIDTH = len("00:00:00 ")
_KEPT = 5000  # lines
_TRIM = 500  # beyond them, before the oldest go


class LogView(ScrollView, can_focus=True):
    """Lines of the log as they come. It follows the newest one until it is scrolled up."""

    ALLOW_SELECT = True
    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES
    DEFAULT_CSS = "LogView { overflow-x: hidden; scrollbar-gutter: stable;" + TONE_CSS + "}"

    follows: reactive[bool] = reactive(True)
    """True while the newest line stays in sight."""

    class Changed(Message):
        """How many lines there are, or whether it follows, is otherwise than before."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._entries: deque[LogLine | LogRow] = deque()
        self._rows: list[LogRow] = []
        self._width = 0
        self.filter = LogFilter()
        self.n_lines = 0
        """Lines of the log that are kept."""
        self.n_shown = 0
        """Those of them that the filter shows."""

    @property
    def text(self) -> str:
        """Everything that the filter shows, for the clipboard."""
        rows = (row for entry in self._entries for row in self._rows_of(entry))
        return "\n".join(f"{row.moment} {row.text}".lstrip() for row in rows)

    def add(self, entries: Iterable[LogLine | LogRow]) -> None:
        """Show more, the newest last: lines of the log, and notes about it."""
        for entry in entries:
            self._entries.append(entry)
            self._count(entry)
            for row in self._rows_of(entry):
                self._rows += self._wrapped(row)
        if len(self._entries) > _KEPT + _TRIM:
            while len(self._entries) > _KEPT:
                self._entries.popleft()
            self._rebuild()
        else:
            self._resized()
        self.post_message(self.Changed())

    def show(self, wanted: LogFilter) -> None:
        """Show other lines than before."""
        if wanted != self.filter:
            self.filter = wanted
            self._rebuild()
            self.post_message(self.Changed())

    def watch_follows(self, follows: bool) -> None:
        """Jump to the newest line when it is followed again."""
        if follows:
            self.scroll_end(animate=False, immediate=True, force=True)
        self.post_message(self.Changed())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up ends the following, scrolling to the end begins it."""
        super().watch_scroll_y(old_value, new_value)
        if self._width:
            self.follows = self.is_vertical_scroll_end

    def on_resize(self) -> None:
        """Lines are wrapped anew for another width."""
        if self.scrollable_content_region.width != self._width:
            self._width = self.scrollable_content_region.width
            self._rebuild()

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        base, width, place = self.rich_style, self._width, self.scroll_offset.y + y
        if place >= len(self._rows):
            return Strip.blank(width, base)
        row = self._rows[place]
        quiet = self.get_component_rich_style("tone--quiet", partial=True)
        style = self.get_component_rich_style(f"tone--{row.tone}", partial=True)
        strip = Strip(
            [Segment(row.moment.ljust(_MOMENT_WIDTH), base + quiet), Segment(row.text, base + style)],
            _MOMENT_WIDTH + cell_len(row.text),
        )
        if self.text_selection is not None and (span := self.text_selection.get_span(place)) is not None:
            strip = _marked(strip, *span, self.screen.get_component_rich_style("screen--selection"))
        return strip.crop_extend(0, width, base).apply_offsets(0, place)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text that the mouse marked."""
        text = "\n".join(row.moment.ljust(_MOMENT_WIDTH) + row.text for row in self._rows)
        return selection.extract(text), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Draw what is marked."""
        self.refresh()

    def _rows_of(self, entry: LogLine | LogRow) -> list[LogRow]:
        if isinstance(entry, LogRow):
            return [entry] if self.filter.shows_notes else []
        return log_rows(entry) if self.filter.shows(entry) else []

    def _count(self, entry: LogLine | LogRow) -> None:
        if isinstance(entry, LogLine):
            self.n_lines += 1
            self.n_shown += self.filter.shows(entry)

    def _rebuild(self) -> None:
        """Filter and wrap everything that is kept."""
        self.n_lines = self.n_shown = 0
        for entry in self._entries:
            self._count(entry)
        self._rows = [part for entry in self._entries for row in self._rows_of(entry) for part in self._wrapped(row)]
        self._resized()

    def _resized(self) -> None:
        follows = self.follows
        self.virtual_size = Size(self._width, len(self._rows))
        if follows:
            self.scroll_end(animate=False, immediate=True, force=True)
        self.refresh()

    def _wrapped(self, row: LogRow) -> Iterator[LogRow]:
        width = max(20, self._width - _MOMENT_WIDTH)
        if len(row.text) * 2 <= width:  # no letter takes more than two cells
            yield row
            return
        parts = textwrap.wrap(row.text, width) if row.text.isascii() else chop_cells(row.text, width)
        for place, part in enumerate(parts or [""]):
            yield LogRow("" if place else row.moment, part, row.tone)


def _marked(strip: Strip, start: int, end: int, style: object) -> Strip:
    from rich.style import Style

    assert isinstance(style, Style)
    length = strip.cell_length
    end = length if end == -1 else min(end, length)
    start = min(start, end)
    return Strip.join([strip.crop(0, start), strip.crop(start, end).apply_style(style), strip.crop(end, length)])
