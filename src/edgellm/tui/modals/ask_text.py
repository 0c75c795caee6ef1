"""One line of text from the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from edgellm.errors import EdgeLLMError

__all__ = ["AskText"]


class AskText(ModalScreen[str | None]):
    """The text, or None. ``check`` raises an error of our tree for what is not acceptable: it is shown below."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]
    _MAY_BE_EMPTY = False

    def __init__(
        self, title: str, *, value: str = "", yes: str, hint: str = "", check: Callable[[str], object] | None = None
    ) -> None:
        super().__init__()
        self._title, self._value, self._yes, self._hint, self._check = title, value, yes, hint, check

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog--title")
            yield self._field(self._value)
            yield Static(Content(self._hint), classes="dialog--hint", id="hint")
            with Horizontal(classes="dialog--buttons"):
                yield Button("Cancel", id="no", compact=True)
                yield Button(self._yes, id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one("#text").focus()

    def _field(self, value: str) -> Widget:
        """Where it is typed, called "text"."""
        return Input(value, id="text")

    def _typed(self) -> str:
        return self.query_one("#text", Input).value.strip()

    @on(Input.Submitted, "#text")
    @on(Button.Pressed, "#yes")
    def action_done(self) -> None:
        """Take the text, if it is acceptable."""
        text = self._typed()
        if not text and not self._MAY_BE_EMPTY:
            return
        try:
            if text and self._check is not None:
                self._check(text)
        except EdgeLLMError as error:
            hint = "" if error.hint is None else f": {error.hint}"
            self.query_one("#hint", Static).update(Content(f"{error.message}{hint}"))
            return
        self.dismiss(text)

    @on(Button.Pressed, "#no")
    def _cancel(self) -> None:
        self.dismiss(None)
