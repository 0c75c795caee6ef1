"""Where messages are typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from edgellm.tui.chat.commands import is_command
from edgellm.tui.chat.completion import common_start, completions, tails

__all__ = ["Prompt"]


class Prompt(TextArea):
    """Enter sends; Ctrl+J, Shift+Enter, Alt+Enter and a backslash before Enter begin a line; the arrow keys go through
    ``said_before`` at the first and the last line; Tab completes commands."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send"),
        Binding("ctrl+j,shift+enter,alt+enter", "newline", "New line", key_display="^j", show=False),
        Binding("tab", "complete", "Complete", show=False),
    ]

    class Sent(Message):
        """``text`` is to be sent."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, **options: str) -> None:
        super().__init__(
            soft_wrap=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            tab_behavior="focus",
            placeholder="Say something, or / for commands",
            **options,  # type: ignore[arg-type]
        )
        self.cursor_blink = False  # it costs power, and traffic on a slow line
        self.said_before: Sequence[str] = ()
        self.completions: Callable[[str], Sequence[str]] = completions
        self._at: int | None = None  # which of the history is shown, from its end
        self._own = ""  # what was typed before that

    def put(self, text: str) -> None:
        """Have ``text`` there, the cursor behind it."""
        self.load_text(text)
        self.move_cursor(self.document.end)
        self._at = None

    def give_back(self, text: str) -> None:
        """``text`` was not sent: have it in front of what was typed since."""
        self.put(text + self.text)

    def action_send(self) -> None:
        """Send what is there, or begin a line behind a backslash."""
        row, column = self.cursor_location
        if self.document.get_line(row)[:column].endswith("\\"):
            self.action_delete_left()
            self.action_newline()
        else:
            self.post_message(self.Sent(self.text))  # before it is known that nothing is typed any more
            self.put("")  # here: what is typed next may come before anybody has read the message

    def action_newline(self) -> None:
        """Begin a line."""
        self._replace_via_keyboard("\n", *self.selection)

    def action_complete(self) -> None:
        """Complete a command and what stands behind it; elsewhere go to the messages."""
        text = self.text
        found = self.completions(text)
        if found:
            start = common_start(found)
            if len(start) > len(text):
                self.put(start)
            elif len(found) > 1:
                self.notify("  ".join(tails(found)), markup=False)
        elif not is_command(text):
            self.screen.focus_next("Transcript")

    def action_cursor_up(self, select: bool = False) -> None:
        """The line above; above the first one what was sent before."""
        if select or not self._is_at_edge(first=True) or not self._go(1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """The line below; below the last one what was sent after."""
        if select or self._at is None or not self._is_at_edge(first=False) or not self._go(-1):
            super().action_cursor_down(select)

    async def _on_key(self, event: events.Key) -> None:
        """Keys in the order in which they were typed: bindings with priority would overtake letters."""
        run = _KEYS.get(event.key)
        if run is not None:
            event.stop()
            event.prevent_default()
            run(self)
            return
        if event.is_printable:
            self._at = None
        await super()._on_key(event)

    def _is_at_edge(self, *, first: bool) -> bool:
        wrapped, (row, column) = self.wrapped_document, self.cursor_location
        y = wrapped.location_to_offset((row, column)).y
        return y == 0 if first else y >= wrapped.height - 1

    def _go(self, step: int) -> bool:
        now = self._at or 0
        later = now + step
        if not 0 <= later <= len(self.said_before):
            return False
        if now == 0:
            self._own = self.text
        self.load_text(self._own if later == 0 else self.said_before[-later])
        self.move_cursor(self.document.end)
        self._at = later or None
        return True


_KEYS: dict[str, Callable[[Prompt], None]] = {
    "enter": Prompt.action_send,
    "ctrl+j": Prompt.action_newline,
    "shift+enter": Prompt.action_newline,
    "alt+enter": Prompt.action_newline,
    "tab": Prompt.action_complete,
}
