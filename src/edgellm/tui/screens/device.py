"""The mode Device."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from edgellm.tui.screens.base import ModeScreen

__all__ = ["DeviceScreen"]


class DeviceScreen(ModeScreen):
    """See the module."""

    MODE = "device"
    CSS_PATH = "device.tcss"

    def compose_body(self) -> ComposeResult:
        yield Static("nothing here yet", classes="empty")
