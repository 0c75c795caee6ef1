"""One run of the app, from the terminal as it was to the terminal as it was."""

from __future__ import annotations

from edgellm.settings import SettingsWithOrigin
from edgellm.tui.app import EdgeApp
from edgellm.tui.launch import Launcher

__all__ = ["run_tui"]


def run_tui(
    settings: SettingsWithOrigin,
    *,
    keep_server: bool = False,
    theme: str = "auto",
    start: str = "models",
    config_file: str | None = None,
) -> int:
    """Run the app until the user leaves it; returns the exit status. Raises what a fault of ours was."""
    app = EdgeApp(settings, Launcher(settings, keep=keep_server, config_file=config_file), start=start, theme=theme)
    app.run()
    if app.fault is not None:
        raise app.fault
    return app.return_code or 0
