"""A text of several lines from the user."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import TextArea

from edgellm.tui.modals.ask_text import AskText

__all__ = ["AskLongText"]


class AskLongText(AskText):
    """As ``AskText``, but for several lines, and the text may be empty."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+j", "done", "Save")]
    _MAY_BE_EMPTY = True

    def _field(self, value: str) -> Widget:
        return TextArea(value, id="text", soft_wrap=True, classes="dialog--text")

    def _typed(self) -> str:
        return self.query_one("#text", TextArea).text.strip()
