"""One of several things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

__all__ = ["AskChoice"]


class AskChoice(ModalScreen[str | None]):
    """The id of the choice, or None. ``choices`` are ids, each with the line that is shown for it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, title: str, choices: Sequence[tuple[str, Content]], *, current: str | None = None) -> None:
        super().__init__()
        self._title, self._choices, self._current = title, choices, current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog--title")
            yield OptionList(*(Option(line, id=id) for id, line in self._choices), id="choices", compact=True)
            yield Static("Enter chooses, Esc leaves it as it is.", classes="dialog--hint")

    def on_mount(self) -> None:
        """The present one is highlighted."""
        options = self.query_one("#choices", OptionList)
        ids = [id for id, _ in self._choices]
        options.highlighted = ids.index(self._current) if self._current in ids else 0 if ids else None
        options.focus()

    @on(OptionList.OptionSelected, "#choices")
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)
