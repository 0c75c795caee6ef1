"""The mode Device: how the machine is, and what models do on it."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import AppBlur, AppFocus, Resize
from textual.widgets import Static

from edgellm.api.watching import Statistics
from edgellm.tui.models.gauge_rows import core_rows, gauge_rows, health_rows
from edgellm.tui.models.memory_rows import memory_rows, room_text
from edgellm.tui.models.rates import ActivityHistory, Rates
from edgellm.tui.models.text import one_line
from edgellm.tui.screens.watched import WatchedScreen
from edgellm.tui.widgets.gauge_text import cores_content, curves_content, gauges_content, models_content
from edgellm.units import format_duration

__all__ = ["DeviceScreen"]

_INTERVAL_S = 1.0
_AWAY_S = 10.0  # while the terminal's window is not the one that is looked at
_WIDE, _LOW = 100, 28


class _Measured(Static):
    """What it shows is made for its width: another one means to make it anew."""

    def on_resize(self) -> None:
        """Tell the screen."""
        screen = self.screen
        assert isinstance(screen, DeviceScreen)
        screen.show_again()


class DeviceScreen(WatchedScreen):
    """See the module. Numbers come once a second while it is shown; the server measures nothing for nobody."""

    MODE = "device"
    CSS_PATH = "device.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause", id="device.pause", tooltip="Hold the numbers still, or let them go on"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.history = ActivityHistory()
        self.statistics: Statistics | None = None
        self._rates: Rates | None = None
        self._interval_s = _INTERVAL_S
        self._paused = False

    def compose_body(self) -> ComposeResult:
        """See the class."""
        with VerticalScroll(id="device", can_focus=False):
            yield Static(Content("Asking the server..."), id="board")
            with Vertical(id="gauges"):
                yield _Measured(id="resources")
                yield Static(id="health")
            yield Static(id="cores")
            yield Static("Activity", classes="title")
            yield _Measured(id="curves")
            yield Static("Models in memory", classes="title")
            yield Static(id="room")
            yield Static(id="models")

    async def read_stream(self) -> None:
        """See ``WatchedScreen``."""
        path = f"/api/edgellm/statistics/stream?interval_s={self._interval_s:g}"
        async for statistics in self.connection.events(path, msgspec.json.Decoder(Statistics)):
            self.take(statistics)

    def take(self, statistics: Statistics) -> None:
        """Show one moment."""
        self._rates = self.history.take(statistics)
        self.statistics = statistics
        if not self._paused:
            self._show()

    def action_pause(self) -> None:
        """Hold the numbers still, to read or to copy them."""
        self._paused = not self._paused
        self._show()

    def on_resize(self, event: Resize) -> None:
        """Two columns where there is room for them, no empty lines where there is little."""
        self.set_class(event.size.width >= _WIDE, "-wide")
        self.set_class(event.size.height < _LOW, "-low")

    def show_again(self) -> None:
        """Bars are as wide as there is room."""
        self._show()

    def on_app_blur(self, _event: AppBlur) -> None:
        """Nobody looks: seldom is enough."""
        self._every(_AWAY_S)

    def on_app_focus(self, _event: AppFocus) -> None:
        """Somebody looks again."""
        self._every(_INTERVAL_S)

    def _every(self, interval_s: float) -> None:
        self._interval_s = interval_s
        if self.is_watching:
            self._begin()

    def _show(self) -> None:
        statistics = self.statistics
        if statistics is None:
            return
        gauges = statistics.device
        width = self.query_one("#curves").content_region.width
        half = self.query_one("#resources").content_region.width
        self._put("#board", Content(self._title(statistics)))
        self._put("#resources", gauges_content(gauge_rows(gauges), half))
        self._put("#health", gauges_content(health_rows(gauges.health), half))
        self._put("#cores", cores_content(core_rows(gauges), width))
        self._put("#curves", curves_content(self.history, self._rates, width))
        self._put("#room", Content(room_text(statistics)))
        self._put("#models", models_content(memory_rows(statistics, self.history), width))

    def _title(self, statistics: Statistics) -> str:
        board = one_line(statistics.device.board or "this machine")
        paused = "   paused: space goes on" if self._paused else ""
        return f"{board}   server up {format_duration(statistics.uptime_s)}{paused}"

    def _put(self, selector: str, content: Content) -> None:
        """Only what is otherwise than before costs a layout."""
        widget = self.query_one(selector, Static)
        before = widget.content
        if not isinstance(before, Content) or before.plain != content.plain or before.spans != content.spans:
            same_size = isinstance(before, Content) and before.plain.count("\n") == content.plain.count("\n")
            widget.update(content, layout=not same_size)
