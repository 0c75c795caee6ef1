"""The mode Models."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from edgellm.tui.screens.base import ModeScreen

__all__ = ["ModelsScreen"]


class ModelsScreen(ModeScreen):
    """See the module."""

    MODE = "models"
    CSS_PATH = "models.tcss"

    def compose_body(self) -> ComposeResult:
        yield Static("nothing here yet", classes="empty")
