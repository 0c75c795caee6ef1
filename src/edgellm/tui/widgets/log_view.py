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

from edgellm.api.watching import LogLine
from edgellm.tui.models.log_rows import LogFilter, LogRow, gap_row, log_rows
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
        self._lines: deque[LogLine] = deque()
        self._rows: list[LogRow] = []
        self._width = 0
        self._last_number: int | None = None
        self.filter = LogFilter()
        self.n_shown = 0
        """Lines of the log that the filter shows."""

    @property
    def n_lines(self) -> int:
        """Lines of the log that are kept."""
        return len(self._lines)

    @property
    def text(self) -> str:
        """Everything that the filter shows, for the clipboard."""
        return "\n".join(f"{row.moment} {row.text}".lstrip() for row in self._filtered_rows())

    def add(self, lines: Iterable[LogLine]) -> None:
        """Show more lines, the newest last."""
        new: list[LogRow] = []
        for line in lines:
            missed = 0 if self._last_number is None else line.number - self._last_number - 1
            if missed < 0:  # another server, which counts from the start
                self._lines.clear()
                self._rows.clear()
                new, self.n_shown = [], 0
            self._last_number = line.number
            self._lines.append(line)
            if missed > 0:
                new += self._wrapped(gap_row(missed))
            if self.filter.shows(line):
                self.n_shown += 1
                new += self._wrapped_line(line)
        if len(self._lines) > _KEPT + _TRIM:
            while len(self._lines) > _KEPT:
                self._lines.popleft()
            self._rebuild()
        else:
            self._rows += new
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
            self.scroll_end(animate=False, immediate=True)
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

    def _filtered_rows(self) -> Iterator[LogRow]:
        for line in self._lines:
            if self.filter.shows(line):
                yield from log_rows(line)

    def _rebuild(self) -> None:
        """Filter and wrap everything that is kept."""
        rows: list[LogRow] = []
        before: int | None = None
        self.n_shown = 0
        for line in self._lines:
            if before is not None and line.number > before + 1:
                rows += self._wrapped(gap_row(line.number - before - 1))
            before = line.number
            if self.filter.shows(line):
                self.n_shown += 1
                rows += self._wrapped_line(line)
        self._rows = rows
        self._resized()

    def _resized(self) -> None:
        follows = self.follows
        self.virtual_size = Size(self._width, len(self._rows))
        if follows:
            self.scroll_end(animate=False, immediate=True)
        self.refresh()

    def _wrapped_line(self, line: LogLine) -> Iterator[LogRow]:
        for row in log_rows(line):
            yield from self._wrapped(row)

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
