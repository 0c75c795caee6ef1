"""The mode Logs: what the server says."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from edgellm.api.log import LogLine
from edgellm.running import RunningServer
from edgellm.tui.models.log_rows import LEVELS, LogFilter, LogRow, gap_row
from edgellm.tui.screens.watched import WatchedScreen
from edgellm.tui.widgets.log_view import LogView

__all__ = ["LogsScreen"]

_LINES = 1000  # that a server keeps
_TOGETHER_S = 0.1  # lines that come at once are drawn at once


class LogsScreen(WatchedScreen):
    """See the module."""

    MODE = "logs"
    CSS_PATH = "logs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="logs.filter", key_display="/"),
        Binding("v", "level", "Importance", id="logs.level", tooltip="Everything, no requests, warnings, errors"),
        Binding("f", "follow", "Follow", id="logs.follow", tooltip="Keep the newest line in sight, or stay here"),
        Binding("y", "copy", "Copy", id="logs.copy", tooltip="Copy the lines that are shown"),
        Binding("escape", "clear", "Show all", id="logs.clear", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._coming: list[LogLine | LogRow] = []
        self._newest = 0  # the number of the newest line
        self._server: RunningServer | None = None  # that said it

    def compose_body(self) -> ComposeResult:
        """See the class."""
        yield Input(placeholder="words that must be in a line; Enter or Esc", id="words")
        yield LogView(id="log")
        yield Static(id="status")

    def on_mount(self) -> None:
        """Keys go to the log."""
        super().on_mount()
        self.query_one(LogView).focus()
        self._tell()

    async def read_stream(self) -> None:
        """See ``WatchedScreen``. The server begins with lines that may be known already; they are left out."""
        self._note_another_server()
        path = f"/api/edgellm/log/stream?lines={_LINES}"
        async for line in self.connection.events(path, msgspec.json.Decoder(LogLine)):
            self.take(line)

    def take(self, line: LogLine) -> None:
        """Show one line, together with others that come at the same time."""
        if line.number <= self._newest:
            return
        missed = line.number - self._newest - 1
        if missed and self._newest:
            self._show_soon(gap_row(missed))
        self._newest = line.number
        self._show_soon(line)

    def action_filter(self) -> None:
        """Type words; the lines with all of them are shown at once."""
        self.add_class("-filtering")
        self.query_one("#words", Input).focus()

    def action_level(self) -> None:
        """The next importance."""
        view = self.query_one(LogView)
        place = LEVELS.index(view.filter.level)
        view.show(view.filter._replace(level=LEVELS[(place + 1) % len(LEVELS)]))

    def action_follow(self) -> None:
        """Stay at the newest line, or here."""
        view = self.query_one(LogView)
        view.follows = not view.follows

    def action_copy(self) -> None:
        """What the filter shows, to the clipboard of the terminal."""
        view = self.query_one(LogView)
        self.app.copy_to_clipboard(view.text)
        self.notify(f"{view.n_shown} lines copied", timeout=2)

    def action_clear(self) -> None:
        """Show all lines again."""
        self.query_one("#words", Input).value = ""
        self.remove_class("-filtering")
        view = self.query_one(LogView)
        view.show(LogFilter())
        view.focus()

    @on(Input.Changed, "#words")
    def _words(self, event: Input.Changed) -> None:
        view = self.query_one(LogView)
        view.show(view.filter._replace(words=event.value.strip()))

    @on(Input.Submitted, "#words")
    def _submitted(self) -> None:
        self.query_one(LogView).focus()

    @on(LogView.Changed)
    def _tell(self) -> None:
        view = self.query_one(LogView)
        parts = ["following" if view.follows else "standing still: f or End follows", view.filter.level]
        if view.filter.words:
            parts.append(f"with {view.filter.words!r}")
        count = "no lines yet" if not view.n_lines else f"{view.n_shown} of {view.n_lines} lines"
        self.query_one("#status", Static).update(Content("   ".join([*parts, count])))

    def _note_another_server(self) -> None:
        server = self.connection.server
        if server is None or server == self._server:
            return
        if self._server is not None:
            self._show_soon(LogRow("", f"another server answers: process {server.pid}", "warning"))
        self._server, self._newest = server, 0

    def _show_soon(self, entry: LogLine | LogRow) -> None:
        if not self._coming:
            self.set_timer(_TOGETHER_S, self._show_coming)
        self._coming.append(entry)

    def _show_coming(self) -> None:
        coming, self._coming = self._coming, []
        self.query_one(LogView).add(coming)
