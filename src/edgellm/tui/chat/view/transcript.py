"""The messages of a conversation, however many: those in sight are computed, the others have about as many lines as
they will have.

One widget draws all of it, line by line. At most ``_MOST_COMPUTED`` messages are in memory.
"""

from __future__ import annotations

import bisect
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from edgellm.tui.chat.view.message_lines import Lines

__all__ = ["Item", "Transcript"]

Item = int | str
"""A message by its id, or something else by a name of its own."""

_MOST_COMPUTED = 60
_MOST_SELECTED_LINES = 5000
_BUDGET_S = 0.02  # of one frame
_MOST_FINISHED = 400  # lines that are remembered as they were drawn
_MARK = Style(bold=True)
_BLANK = Strip.blank(0)
_GUTTER = 1  # columns on the left, where the chosen message is marked


class Transcript(ScrollView, can_focus=True):
    """Shows items, whose lines ``compute`` gives for a width and ``estimate`` guesses.

    While its end is in sight it stays there as more comes.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", "Up", show=False),
        Binding("down", "scroll_down", "Down", show=False),
        Binding("k,ctrl+up", "choose(-1)", "Message before", key_display="k"),
        Binding("j,ctrl+down", "choose(1)", "Message after", key_display="j"),
        Binding("home,g", "to_start", "First message", show=False),
        Binding("end,G", "to_end", "Last message", show=False),
        Binding("space,pagedown", "page_down", "Page down", show=False),
        Binding("b,pageup", "page_up", "Page up", show=False),
        Binding("t,enter", "fold", "Thoughts", key_display="t"),
    ]

    class FoldToggled(Message):
        """The thoughts of ``item`` are to be shown, or not."""

        def __init__(self, item: Item) -> None:
            super().__init__()
            self.item = item

    class Chosen(Message):
        """``item`` is the one that keys work on; None: none is."""

        def __init__(self, item: Item | None) -> None:
            super().__init__()
            self.item = item

    def __init__(
        self, compute: Callable[[Item, int], Lines], estimate: Callable[[Item, int], int], **options: str
    ) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.chosen: Item | None = None
        self.is_following = True
        self._compute = compute
        self._estimate = estimate
        self._items: list[Item] = []
        self._index: dict[Item, int] = {}
        self._heights: list[int] = []
        self._tops: list[int] = [0]
        self._exact: set[Item] = set()
        self._lines: OrderedDict[Item, Lines] = OrderedDict()
        self._width = 0
        self._is_settling = False
        self._style = Style()
        self._finished: dict[tuple[int, int, bool], tuple[Strip, Strip]] = {}

    @property
    def items(self) -> Sequence[Item]:
        """What is shown, the first one in front."""
        return self._items

    @property
    def computed(self) -> int:
        """How many messages are in memory."""
        return len(self._lines)

    def set_items(self, items: Sequence[Item], *, keep_place: bool = False) -> None:
        """Show these. What is computed of those that were there stays; ``forget`` what has become otherwise."""
        place = self._place() if keep_place else None
        self._items = list(items)
        self._index = {item: index for index, item in enumerate(self._items)}
        self._exact &= self._index.keys()
        for item in [item for item in self._lines if item not in self._index]:
            del self._lines[item]
        if self.chosen not in self._index:
            self.choose(None)
        self._measure()
        if place is None:
            self.is_following = True
        self._settle(place)

    def append(self, item: Item) -> None:
        """Show one more at the end."""
        self._index[item] = len(self._items)
        self._items.append(item)
        self._heights.append(self._estimate(item, self._text_width))
        self._tops.append(self._tops[-1] + self._heights[-1])
        self._settle()

    def forget(self, item: Item) -> None:
        """It has become otherwise: compute it anew."""
        if item not in self._index:
            return
        before = self._lines.pop(item, None)
        self._exact.discard(item)
        state = (self._tops[-1], self.scroll_offset.y)
        self._settle(draw=False)
        lines = self._lines.get(item)
        if before is None or lines is None or state != (self._tops[-1], self.scroll_offset.y):
            self.refresh()
            return
        first = _first_difference(before.strips, lines.strips)
        if first < len(lines.strips):  # most often a word more in the last line
            self.refresh_lines(self._tops[self._index[item]] + first, len(lines.strips) - first)

    def forget_all(self) -> None:
        """All of it looks different now."""
        place = self._place()
        self._lines.clear()
        self._exact.clear()
        self._measure()
        self._settle(place)

    def choose(self, item: Item | None) -> None:
        """Let keys work on ``item``."""
        if item != self.chosen:
            self.chosen = item
            self.post_message(self.Chosen(item))
            self.refresh()

    def show(self, item: Item) -> None:
        """Bring ``item`` into sight, its beginning first, and choose it."""
        if item in self._index:
            self.choose(item)
            self.is_following = False
            self._settle((self._index[item], 0))

    # what Textual calls

    def on_resize(self, event: events.Resize) -> None:
        """Lines are broken anew at another width."""
        if self._text_width != self._width:
            place = self._place()
            self._width = self._text_width
            self._lines.clear()
            self._exact.clear()
            self._measure()
            self._settle(place)
        else:
            self._settle()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """What comes into sight is computed."""
        super().watch_scroll_y(old_value, new_value)
        if not self._is_settling:
            self.is_following = round(new_value) >= self.max_scroll_y
            self._settle()

    def render_line(self, y: int) -> Strip:
        """The line at ``y`` from the top of the widget."""
        line = y + self.scroll_offset.y
        width = self.size.width
        found = self._at(line)
        if found is None:
            return Strip.blank(width, self._style)
        item, offset = found
        lines = self._lines.get(item)
        strip = lines.strips[offset] if lines is not None and offset < len(lines.strips) else _BLANK
        strip = self._drawn(strip, width, is_chosen=item == self.chosen)
        if self.text_selection is not None and (span := self.text_selection.get_span(line)) is not None:
            strip = _selected(strip, span, self.screen.get_component_rich_style("screen--selection"))
        return strip.apply_offsets(self.scroll_offset.x, line)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Some of the lines, all in the same style."""
        if self.rich_style != self._style:
            self._style = self.rich_style
            self._finished.clear()
        return super().render_lines(crop)

    def _drawn(self, strip: Strip, width: int, *, is_chosen: bool) -> Strip:
        """A line as it is drawn, remembered for as long as it is in memory."""
        key = (id(strip), width, is_chosen)
        found = self._finished.get(key)
        if found is not None and found[0] is strip:
            return found[1]
        mark = Segment(("▌" if is_chosen else " ") * _GUTTER, _MARK)
        drawn = Strip([mark, *strip]).extend_cell_length(width).crop(0, width).apply_style(self._style)
        if len(self._finished) > _MOST_FINISHED:
            self._finished.clear()
        self._finished[key] = (strip, drawn)
        return drawn

    def selection_updated(self, selection: Selection | None) -> None:
        """Show what is selected with the mouse."""
        self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text that is selected; without an end of its own it is what is in sight."""
        height = self.size.height
        top = self.scroll_offset.y
        first = selection.start.y if selection.start is not None else top
        last = selection.end.y if selection.end is not None else min(top + height, self._tops[-1]) - 1
        last = min(last, first + _MOST_SELECTED_LINES)
        texts = []
        for line in range(first, last + 1):
            text = self._text_at(line)
            span = selection.get_span(line)
            if span is not None:
                start, end = span
                text = text[start:] if end == -1 else text[start:end]
            texts.append(text.rstrip())
        return "\n".join(texts), "\n"

    def on_click(self, event: events.Click) -> None:
        """A click chooses a message; on the line of its thoughts it folds them."""
        found = self._at(event.y + self.scroll_offset.y)
        if found is None:
            return
        item, offset = found
        self.choose(item)
        lines = self._lines.get(item)
        if lines is not None and offset == lines.fold_line:
            self.post_message(self.FoldToggled(item))

    # keys

    def action_choose(self, step: int) -> None:
        """Choose the message before or after, the one in sight at first."""
        if not self._items:
            return
        if self.chosen is None:
            found = self._at(self.scroll_offset.y + self.size.height - 1)
            index = self._index[found[0]] if found is not None else len(self._items) - 1
        else:
            index = min(max(self._index[self.chosen] + step, 0), len(self._items) - 1)
        item = self._items[index]
        self.choose(item)
        top, height = self._tops[index], self.size.height
        if top < self.scroll_offset.y or self._tops[index + 1] > self.scroll_offset.y + height:
            self.scroll_to(y=min(top, self.max_scroll_y), animate=False)

    def action_fold(self) -> None:
        """Show the thoughts of the chosen message, or fold them."""
        item = self.chosen if self.chosen is not None else (self._items[-1] if self._items else None)
        if item is not None:
            self.post_message(self.FoldToggled(item))

    def action_to_start(self) -> None:
        """Go to the first message."""
        self.scroll_to(y=0, animate=False)

    def action_to_end(self) -> None:
        """Go to the last message, and follow what comes."""
        self.is_following = True
        self._settle()

    # lines and places

    @property
    def _text_width(self) -> int:
        """Columns between the mark and the scrollbar, whose column ``size`` includes."""
        return max(self.scrollable_content_region.width - _GUTTER, 1)

    def _measure(self) -> None:
        width = self._text_width
        self._heights = [
            len(self._lines[item].strips) if item in self._lines else self._estimate(item, width)
            for item in self._items
        ]
        self._sum()

    def _sum(self) -> None:
        self._tops = list(itertools.accumulate(self._heights, initial=0))

    def _at(self, line: int) -> tuple[Item, int] | None:
        if not 0 <= line < self._tops[-1]:
            return None
        index = bisect.bisect_right(self._tops, line) - 1
        return self._items[index], line - self._tops[index]

    def _place(self) -> tuple[int, int] | None:
        """Index and line of what is at the top of the widget; None at the end, which is followed."""
        if self.is_following or not self._items:
            return None
        index = min(bisect.bisect_right(self._tops, self.scroll_offset.y) - 1, len(self._items) - 1)
        return index, self.scroll_offset.y - self._tops[index]

    def _text_at(self, line: int) -> str:
        found = self._at(line)
        if found is None:
            return ""
        item, offset = found
        lines = self._lines_of(item)
        return " " * _GUTTER + (lines.strips[offset].text if offset < len(lines.strips) else "")

    def _lines_of(self, item: Item) -> Lines:
        lines = self._lines.get(item)
        if lines is None:
            lines = self._lines[item] = self._compute(item, self._text_width)
            while len(self._lines) > max(_MOST_COMPUTED, 2 * self.size.height):
                self._lines.popitem(last=False)
        else:
            self._lines.move_to_end(item)
        return lines

    def _settle(self, place: tuple[int, int] | None = None, *, draw: bool = True) -> None:
        """Compute what is in sight, and a screen above it, for as long as a frame may take; the rest afterwards."""
        if not self.size.height or not self.is_attached:
            return
        self._is_settling = True
        try:
            until = time.monotonic() + _BUDGET_S
            while (index := self._next_missing(place)) is not None:
                if time.monotonic() > until:
                    self.call_later(self._settle)
                    break
                place = self._compute_one(index, place)
            self._scroll(place)
        finally:
            self._is_settling = False
        if draw:
            self.refresh()

    def _next_missing(self, place: tuple[int, int] | None) -> int | None:
        """The index of an item that is, or is about to be, in sight and not computed."""
        height = self.size.height
        total = self._tops[-1]
        if place is not None:
            top = self._tops[place[0]] + place[1]
        else:
            top = max(total - height, 0) if self.is_following else self.scroll_offset.y
        first = max(bisect.bisect_right(self._tops, top) - 1, 0)
        last = min(bisect.bisect_left(self._tops, top + height), len(self._items))
        for index in range(first, last):
            if self._items[index] not in self._lines:
                return index
        above = max(bisect.bisect_right(self._tops, max(top - height, 0)) - 1, 0)
        for index in range(min(first, len(self._items)) - 1, above - 1, -1):
            if self._items[index] not in self._lines:
                return index
        return None

    def _compute_one(self, index: int, place: tuple[int, int] | None) -> tuple[int, int] | None:
        """Give an item its lines. What is at the top of the widget stays there."""
        if place is None:
            place = self._place()
        item = self._items[index]
        height = len(self._lines_of(item).strips)
        self._exact.add(item)
        if height != self._heights[index]:
            self._heights[index] = height
            self._sum()
        return place

    def _scroll(self, place: tuple[int, int] | None) -> None:
        size = Size(self.size.width, self._tops[-1])
        if self.virtual_size != size:
            self.set_reactive(Widget.virtual_size, size)  # no layout: the widget itself stays as large as it is
            self._scroll_update(size)
        bottom = max(self._tops[-1] - self.size.height, 0)
        if place is not None:
            index, offset = place
            target = self._tops[index] + min(offset, max(self._heights[index] - 1, 0))
        elif self.is_following:
            target = bottom
        else:
            target = self.scroll_offset.y
        target = min(target, bottom)
        if target != self.scroll_offset.y:
            self.scroll_target_y = target
            self.scroll_y = target


def _first_difference(before: Sequence[Strip], after: Sequence[Strip]) -> int:
    for index, (old, new) in enumerate(zip(before, after, strict=False)):
        if old is not new and old != new:
            return index
    return min(len(before), len(after))


def _selected(strip: Strip, span: tuple[int, int], style: Style) -> Strip:
    start, end = span
    length = strip.cell_length
    end = length if end == -1 else min(end, length)
    if start >= end:
        return strip
    before, inside = strip.crop(0, start), strip.crop(start, end)
    inside = Strip(Segment.apply_style(inside, post_style=style), inside.cell_length)
    return Strip.join([before, inside, strip.crop(end, length)])
