"""The mode Jobs."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from edgellm.tui.screens.base import ModeScreen

__all__ = ["JobsScreen"]


class JobsScreen(ModeScreen):
    """See the module."""

    MODE = "jobs"
    CSS_PATH = "jobs.tcss"

    def compose_body(self) -> ComposeResult:
        yield Static("nothing here yet", classes="empty")
