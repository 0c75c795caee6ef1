"""What is shown over every mode while the server does not answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from edgellm.tui.connection import Connection, ConnectionState

if TYPE_CHECKING:
    from edgellm.tui.app import EdgeApp

__all__ = ["ConnectionBanner"]


class ConnectionBanner(Static):
    """Says why, and when it is tried again. Nothing that was typed or shown is lost meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._until = 0.0
        self._ticking: Timer | None = None

    def on_mount(self) -> None:
        self._ticking = self.set_interval(1.0, self._tell, pause=True)
        self._connection.changed.subscribe(self, self._changed)
        self._changed(self._connection.state)

    @property
    def _connection(self) -> Connection:
        return cast("EdgeApp", self.app).connection

    def _changed(self, state: ConnectionState) -> None:
        assert self._ticking is not None
        is_lost = state == "lost"
        self.set_class(is_lost, "-shown")
        if is_lost:
            self._until = time.monotonic() + (self._connection.retry_s or 0)
            self._ticking.resume()
            self._tell()
        else:
            self._ticking.pause()

    def _tell(self) -> None:
        problem = self._connection.problem
        why = "the server does not answer" if problem is None else problem.message
        hint = "" if problem is None or problem.hint is None else f" ({problem.hint})"
        left_s = round(self._until - time.monotonic())
        when = f"again in {left_s} s" if left_s > 0 else "trying again"
        self.update(Content(f"{why}{hint} - {when}, Ctrl+R now"))
