"""What the screens of all modes have in common."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Footer

from edgellm.errors import EdgeLLMError
from edgellm.tui.connection import Connection, ConnectionState
from edgellm.tui.widgets.connection_banner import ConnectionBanner
from edgellm.tui.widgets.mode_bar import ModeBar
from edgellm.tui.workers import start_work

if TYPE_CHECKING:
    from edgellm.tui.app import EdgeApp

__all__ = ["ModeScreen"]

_ERROR_S = 12.0


class ModeScreen(Screen[None]):
    """A mode: the bar of modes, what it composes itself (``compose_body``), the banner of a lost server, the footer.

    ``on_connected`` is called when the server answers, at first and again after each time that it was lost.
    """

    MODE = ""

    @property
    def connection(self) -> Connection:
        """The one of the app, whatever app it is."""
        return cast("EdgeApp", self.app).connection

    def compose(self) -> ComposeResult:
        """See the class."""
        with Vertical(classes="top"):
            yield ModeBar(self.MODE)
            yield ConnectionBanner()
        yield from self.compose_body()
        yield Footer()

    def compose_body(self) -> ComposeResult:
        """What the mode shows."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Follow the connection."""
        self.connection.changed.subscribe(self, self._connection_changed)
        if self.connection.is_connected:
            self.call_next(self.on_connected)

    def on_connected(self) -> None:
        """The server answers: read what is shown anew."""

    def tell(self, error: EdgeLLMError) -> None:
        """Show an error with its hint. Nothing in it is markup."""
        text = error.message if error.hint is None else f"{error.message}\n{error.hint}"
        self.notify(text, severity="error", timeout=_ERROR_S, markup=False)

    def _do(
        self, group: str, what: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, exclusive: bool = False
    ) -> None:
        """Run it beside the screen; an error of our tree is shown."""

        async def told() -> None:
            try:
                await what(*arguments)
            except EdgeLLMError as error:
                self.tell(error)

        start_work(self, group, told, exclusive=exclusive)

    def _connection_changed(self, state: ConnectionState) -> None:
        if state == "connected":
            self.on_connected()
