"""One run of the app, from the terminal as it was to the terminal as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgellm.settings import SettingsWithOrigin
from edgellm.tui.garbage import hold_back
from edgellm.tui.launch import Launcher
from edgellm.tui.output import forgiving_output

if TYPE_CHECKING:
    from edgellm.tui.app import EdgeApp
    from edgellm.tui.chat.conversations import Conversations
    from edgellm.tui.chat.opening import Opening

__all__ = ["run_chat_screen", "run_tui"]


def run_tui(
    settings: SettingsWithOrigin,
    *,
    keep_server: bool = False,
    start: str = "models",
    config_file: str | None = None,
) -> int:
    """Run the app until the user leaves it; returns the exit status. Raises what a fault of ours was."""
    hold_back()
    from edgellm.tui.app import EdgeApp

    launcher = Launcher(settings, keep=keep_server, config_file=config_file)
    return _run(EdgeApp(settings, launcher, start=start, theme=settings.values.theme))


def run_chat_screen(
    settings: SettingsWithOrigin,
    conversations: Conversations,
    opening: Opening,
    *,
    config_file: str | None = None,
) -> int:
    """Run the app in its mode Chat, with the conversation that ``opening`` means."""
    hold_back()
    from edgellm.tui.app import EdgeApp
    from edgellm.tui.chat.opening import ChatStart  # what the other modes start without

    launcher = Launcher(settings, config_file=config_file)
    app = EdgeApp(settings, launcher, start="chat", theme=settings.values.theme)
    app.chat_start = ChatStart(conversations, opening)
    return _run(app)


def _run(app: EdgeApp) -> int:
    with forgiving_output():
        app.run()
    if app.fault is not None:
        raise app.fault
    return app.return_code or 0
