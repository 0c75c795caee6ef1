"""The mode Logs."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from edgellm.tui.screens.base import ModeScreen

__all__ = ["LogsScreen"]


class LogsScreen(ModeScreen):
    """See the module."""

    MODE = "logs"
    CSS_PATH = "logs.tcss"

    def compose_body(self) -> ComposeResult:
        yield Static("nothing here yet", classes="empty")
