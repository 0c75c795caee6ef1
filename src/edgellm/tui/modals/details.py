"""Everything about one model."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Markdown, Static, TabbedContent, TabPane

from edgellm.tui.models.details import ModelDetails, card_text, fact_rows, file_lines, license_text

__all__ = ["DetailsModal"]


class DetailsModal(ModalScreen[None]):
    """The plan with its reasons, the model card, the licence, the files with their digests."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Close"),
        Binding("y", "copy", "Copy the digest"),
    ]
    DEFAULT_CSS = """
    DetailsModal .details { width: 100; max-width: 96%; height: 92%; border: round $primary; background: $surface; }
    DetailsModal .details--title { text-style: bold; padding: 0 1; }
    DetailsModal TabbedContent { height: 1fr; }
    DetailsModal TabPane { padding: 0 1; }
    DetailsModal .details--row { height: auto; }
    DetailsModal .details--label { width: 10; color: $text-muted; }
    DetailsModal .details--text { width: 1fr; height: auto; }
    """

    def __init__(self, model: ModelDetails) -> None:
        super().__init__()
        self._model = model

    def compose(self) -> ComposeResult:
        with Vertical(classes="details"):
            yield Static(Content(self._model.name), classes="details--title")
            with TabbedContent():
                with TabPane("Plan", id="plan"), VerticalScroll():
                    for label, text in fact_rows(self._model):
                        with Horizontal(classes="details--row"):
                            yield Static(Content(label), classes="details--label")
                            yield Static(Content(text), classes="details--text")
                with TabPane("Card", id="card"), VerticalScroll():
                    yield Markdown(card_text(self._model), open_links=False)
                with TabPane("Licence", id="licence"), VerticalScroll():
                    yield Static(Content(license_text(self._model)))
                with TabPane("Files", id="files"), VerticalScroll():
                    yield Static(Content("\n".join(file_lines(self._model))))
            yield Static(Content("Left and Right: pages   y: copy the digest   Esc: close"), classes="dialog--hint")

    def action_copy(self) -> None:
        """The digest of the bundle goes to the clipboard."""
        self.app.copy_to_clipboard(self._model.digest)
        self.notify("the digest is on the clipboard")
