"""The line at the top: the modes, and which server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from edgellm.tui.connection import Connection, ConnectionState

if TYPE_CHECKING:
    from edgellm.tui.app import EdgeApp

__all__ = ["ModeBar"]

_MODES = ("models", "jobs", "device", "chat", "logs", "settings")


class _Mode(Static):
    """One mode, which a click shows."""

    def __init__(self, number: int, mode: str, *, current: bool) -> None:
        super().__init__(f"{number} {mode.capitalize()}", classes="mode-bar--mode")
        self.set_class(current, "-current")
        self._mode = mode

    def on_click(self, event: Click) -> None:
        event.stop()
        self.app.switch_mode(self._mode)


class ModeBar(Horizontal):
    """See the module."""

    ALLOW_SELECT = False

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current

    def compose(self) -> ComposeResult:
        for number, mode in enumerate(_MODES, 1):
            yield _Mode(number, mode, current=mode == self._current)
        yield Static(classes="mode-bar--server")

    def on_mount(self) -> None:
        self._connection.changed.subscribe(self, self._show)
        self._show(self._connection.state)

    @property
    def _connection(self) -> Connection:
        return cast("EdgeApp", self.app).connection

    def _show(self, state: ConnectionState) -> None:
        server = self._connection.server
        text = {
            "connecting": "looking for a server",
            "connected": server.address if server is not None and server.url else "own server",
            "lost": "no server",
        }[state]
        self.query_one(".mode-bar--server", Static).update(Content(text))
