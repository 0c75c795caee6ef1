"""The mode Chat."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from edgellm.tui.screens.base import ModeScreen

__all__ = ["ChatScreen"]


class ChatScreen(ModeScreen):
    """See the module."""

    MODE = "chat"
    CSS_PATH = "chat.tcss"

    def compose_body(self) -> ComposeResult:
        yield Static("nothing here yet", classes="empty")
