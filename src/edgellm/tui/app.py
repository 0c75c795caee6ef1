"""The app: six modes over one connection."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.events import Event, InputEvent, Key
from textual.screen import Screen

from edgellm.api.server import KeptAnswer
from edgellm.errors import EdgeLLMError
from edgellm.tui.connection import Connection, ServerSource
from edgellm.tui.ending import TerminalState, end_on_signals
from edgellm.tui.garbage import look_at_all, look_at_new_ones
from edgellm.tui.themes import THEMES, choice_of, pick_theme

if TYPE_CHECKING:
    from textual.driver import Driver

    from edgellm.settings import SettingsWithOrigin
    from edgellm.tui.chat.opening import ChatStart

__all__ = ["MODE_TITLES", "EdgeApp"]

MODE_TITLES = {
    "models": "Models",
    "jobs": "Jobs",
    "device": "Device",
    "chat": "Chat",
    "logs": "Logs",
    "settings": "Settings",
}


_REST_S = 20.0  # without a key: nobody is waiting for the screen


def _screen(mode: str) -> Screen[Any]:
    """The base screen of a mode, imported when it is first shown."""
    module = importlib.import_module(f"edgellm.tui.screens.{mode}")
    screen = getattr(module, f"{mode.capitalize()}Screen")()
    assert isinstance(screen, Screen)
    return screen


def _mode_bindings() -> list[BindingType]:
    """1 to 6 and the first letter, which a screen may use otherwise; F1 to F6 also where something is typed."""
    found: list[BindingType] = []
    for number, (mode, title) in enumerate(MODE_TITLES.items(), 1):
        action = f"app.switch_mode('{mode}')"
        found += [
            Binding(f"{number},{mode[0]}", action, title, id=f"mode.{mode}", show=False),
            Binding(f"f{number}", action, title, id=f"mode.{mode}.anywhere", show=False, priority=True),
        ]
    return found


class EdgeApp(App[None]):
    """See the module. ``start`` is the mode that it begins in, ``theme`` one of ``THEMES`` or "auto"."""

    TITLE = "edgellm"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {mode: partial(_screen, mode) for mode in MODE_TITLES}
    BINDINGS: ClassVar[list[BindingType]] = [
        *_mode_bindings(),
        Binding("question_mark,f9", "help", "Keys", id="help", key_display="?"),
        Binding("ctrl+r", "reconnect", "Look for the server now", id="reconnect", show=False),
        Binding("q", "quit", "Quit", id="quit"),
        Binding("ctrl+q", "quit", "Quit", id="quit.anywhere", show=False, priority=True),
        Binding("ctrl+c", "interrupt", "Quit", id="interrupt", show=False, system=True),
    ]

    def __init__(
        self,
        settings: SettingsWithOrigin,
        source: ServerSource,
        *,
        start: str = "models",
        theme: str = "auto",
    ) -> None:
        super().__init__()
        self.animation_level = "none"  # every frame costs power here, and time on a slow line
        self.settings = settings
        self.connection = Connection(self, source)
        self.fault: Exception | None = None  # of ours, which ended the app
        self.chat_start: ChatStart | None = None  # what the mode Chat begins with
        self.escape_handled = threading.Event()  # set after each Escape, when all that it does is done
        self._start = start
        self._used = time.monotonic()  # when a key or the mouse came last
        self._before = TerminalState()  # which Textual has not changed yet
        self._theme_turn = asyncio.Lock()  # the theme that was chosen last is the one that is kept
        for each in THEMES:
            self.register_theme(each)
        picked = pick_theme(theme, os.environ)
        self.theme = picked if picked in self.available_themes else pick_theme("auto", os.environ)  # of another Textual

    def get_driver_class(self) -> type[Driver]:
        """Where keys come from."""
        found = super().get_driver_class()
        if found.__name__ != "LinuxDriver":  # another one is asked for
            return found
        from edgellm.tui.keys import KeyDriver

        return KeyDriver

    async def on_event(self, event: Event) -> None:
        """Alt+Enter is Escape and Enter where it has no meaning of its own."""
        if isinstance(event, InputEvent):
            self._used = time.monotonic()
        is_typed = isinstance(event, Key) and event.key == "alt+enter" and not event.is_forwarded
        if is_typed and "alt+enter" not in self.active_bindings:
            await super().on_event(Key("escape", "\x1b"))
            event = Key("enter", "\r")
        await super().on_event(event)

    async def _on_key(self, event: Key) -> None:
        """A key that has come all the way up does what it is bound to here."""
        event.prevent_default()
        await super()._on_key(event)
        if event.key == "escape":
            self.escape_handled.set()

    def on_mount(self) -> None:
        """Show the first mode, then look for the server."""
        self._handle_signals()
        self.switch_mode(self._start)
        self.run_worker(self.connection.run(), name="connection", group="connection", exit_on_error=True)

    def on_ready(self) -> None:
        """The first frame is there."""
        look_at_new_ones()
        self.set_interval(_REST_S, self._tidy_up)

    def _tidy_up(self) -> None:
        """What takes a tenth of a second, when nobody has touched anything for a while."""
        if time.monotonic() - self._used >= _REST_S:
            look_at_all()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette: what the screen's own keys do, modes, the server, and what Textual has."""
        given: set[str] = set()  # what several keys do is one command
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.id is not None and active.node is screen and active.enabled and binding.id not in given:
                given.add(binding.id)
                run = partial(screen.run_action, binding.action)
                yield SystemCommand(binding.description, binding.tooltip or f"On this screen: {binding.key}", run)
        for mode, title in MODE_TITLES.items():
            yield SystemCommand(f"Go to {title}", f"Show the mode {title}", partial(self.switch_mode, mode))
        yield SystemCommand("Look for the server now", "Do not wait for the next attempt", self.action_reconnect)
        yield SystemCommand("Keep the server", "It stays when the last terminal is closed", self.action_keep_server)
        yield from super().get_system_commands(screen)

    def search_themes(self) -> None:
        """Offer all themes in the palette. The one that is chosen is that of the next time too."""
        from textual.command import CommandPalette

        from edgellm.tui.theme_choices import ThemeChoices

        self.push_screen(CommandPalette(providers=[ThemeChoices], placeholder="Colours, kept for the next time"))

    def choose_theme(self, name: str) -> None:
        """Show the theme of this name, now and the next time."""
        self.theme = name
        self.run_worker(self._keep_theme(choice_of(name)), name="theme", group="theme")

    async def _keep_theme(self, choice: str) -> None:
        from edgellm.settings import ThemeName
        from edgellm.settings_file import keep_setting

        if choice not in get_args(ThemeName):  # of a Textual that is newer than this edgellm
            why = f"{choice} is none of the names that the setting `theme` has in this version of edgellm"
            self.notify(f"the theme is shown, and not kept: {why}", severity="warning", markup=False)
            return
        try:
            async with self._theme_turn:
                self.settings, stronger = await asyncio.to_thread(keep_setting, self.settings, "theme", choice)
        except EdgeLLMError as error:
            said = error.message if error.hint is None else f"{error.message}: {error.hint}"
            self.notify(f"the theme is not kept: {said}", severity="error", markup=False)
        else:
            if stronger:
                self.notify(f"kept, but {stronger} comes first while it is given", severity="warning", markup=False)

    def action_help(self) -> None:
        """Show what the keys do here."""
        from edgellm.tui.modals.help import HelpModal

        if not isinstance(self.screen, HelpModal):
            self.push_screen(HelpModal(self.screen))

    def action_reconnect(self) -> None:
        """Do not wait for the next attempt."""
        self.connection.retry_now()

    async def action_keep_server(self) -> None:
        """A server that was started for this terminal stays when it is closed."""
        try:
            await self.connection.post("/api/edgellm/keep", None, KeptAnswer)
        except EdgeLLMError as error:
            self.notify(error.message, severity="error", markup=False)
        else:
            self.notify("the server stays, until `edgellm stop --server` or a signal ends it")

    def action_interrupt(self) -> None:
        """Ctrl-C: copy what is selected, else quit. A screen in which something runs may stop that instead."""
        selected = self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
        else:
            self.exit()

    def open_chat(self, model: str) -> None:
        """Talk to ``model``: what the mode Chat does with it is its own."""

        async def show() -> None:
            await self.switch_mode("chat")
            open_model = getattr(self.screen, "open_model", None)
            if open_model is not None:
                open_model(model)

        self.call_next(show)

    def _handle_signals(self) -> None:
        """The end of the terminal, and of this program, leave the terminal as it was."""
        if not self.is_headless:
            end_on_signals(self._before, lambda status: self.exit(return_code=status))

    def _handle_exception(self, error: Exception) -> None:
        """Whoever started the app says it: Textual would print a page with the values of variables."""
        if self.is_headless or os.environ.get("EDGELLM_DEBUG") == "1":
            super()._handle_exception(error)
            return
        self.fault = self.fault or error
        self._return_code = 1
        self._close_messages_no_wait()
