"""The mode Settings."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from edgellm.tui.screens.base import ModeScreen

__all__ = ["SettingsScreen"]


class SettingsScreen(ModeScreen):
    """See the module."""

    MODE = "settings"
    CSS_PATH = "settings.tcss"

    def compose_body(self) -> ComposeResult:
        yield Static("nothing here yet", classes="empty")
