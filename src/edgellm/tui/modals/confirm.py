"""A question before something that cannot be taken back, or that may go wrong."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

__all__ = ["Confirm"]


class Confirm(ModalScreen[bool]):
    """True when the user says yes. With ``typed`` only after typing exactly that. Nothing shown is markup."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(False)", "Cancel")]

    def __init__(self, title: str, text: str, *, yes: str, typed: str | None = None, hint: str = "") -> None:
        super().__init__()
        self._title, self._text, self._yes, self._typed, self._hint = title, text, yes, typed, hint

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog--title")
            yield Static(Content(self._text))
            if self._hint:
                yield Static(Content(self._hint), classes="dialog--hint")
            if self._typed is not None:
                yield Static(Content(f"Type {self._typed} to go on:"), classes="dialog--question")
                yield Input(id="typed")
            with Horizontal(classes="dialog--buttons"):
                yield Button("Cancel", id="no", compact=True)
                yield Button(self._yes, id="yes", variant="error", disabled=self._typed is not None, compact=True)

    def on_mount(self) -> None:
        """The safe answer has the focus."""
        self.query_one("#no" if self._typed is None else "#typed").focus()

    @on(Input.Changed, "#typed")
    def _typing(self, event: Input.Changed) -> None:
        self.query_one("#yes", Button).disabled = event.value.strip() != self._typed

    @on(Input.Submitted, "#typed")
    @on(Button.Pressed, "#yes")
    def _said_yes(self) -> None:
        if not self.query_one("#yes", Button).disabled:
            self.dismiss(True)

    @on(Button.Pressed, "#no")
    def _said_no(self) -> None:
        self.dismiss(False)
