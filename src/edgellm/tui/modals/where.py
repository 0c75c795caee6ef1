"""Where a file shall be written."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from edgellm.errors import EdgeLLMError
from edgellm.paths import user_path

__all__ = ["WhereModal"]


class WhereModal(ModalScreen[Path | None]):
    """The path that was typed, which nothing is at yet; None when it was left. ``suggested`` stands there at first."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Do not write it")]

    def __init__(self, title: str, suggested: Path) -> None:
        super().__init__()
        self._title, self._suggested = title, suggested

    def compose(self) -> ComposeResult:
        """See the class."""
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog--title")
            yield Input(str(self._suggested), id="path")
            yield Static("", id="problem", classes="dialog--hint")
            with Horizontal(classes="dialog--buttons"):
                yield Button("Write it", id="write", variant="primary")
                yield Button("Leave", id="leave")

    @on(Input.Submitted)
    @on(Button.Pressed, "#write")
    def _write(self) -> None:
        problem = ""
        try:
            path = user_path(self.query_one("#path", Input).value.strip()).absolute()
        except EdgeLLMError as error:
            problem = error.message
        else:
            if path.is_dir():
                path /= self._suggested.name
            if path.exists():
                problem = f"{path} is there already: choose another name"
            elif not path.parent.is_dir():
                problem = f"there is no folder {path.parent}"
        if problem:
            self.query_one("#problem", Static).update(Content(problem))
        else:
            self.dismiss(path)

    @on(Button.Pressed, "#leave")
    def _leave(self) -> None:
        self.dismiss(None)
