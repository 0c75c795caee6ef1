"""What the keys do on the screen below."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.keys import format_key
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

__all__ = ["HelpModal"]


class HelpModal(ModalScreen[None]):
    """The keys of ``screen``: its own first, then those that work everywhere."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,f9,q,enter", "dismiss", "Close")]

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._rows = _rows(screen)

    def compose(self) -> ComposeResult:
        width = max((len(keys) for keys, _ in self._rows), default=0)
        with VerticalScroll(classes="dialog"):
            yield Static("Keys", classes="dialog--title")
            for keys, text in self._rows:
                yield Static(Content.assemble((f"{keys:<{width}}", "bold"), f"  {text}"))
            yield Static(
                Content("Esc closes. A key that a text field takes works once it is left with Tab."),
                classes="dialog--hint",
            )


def _rows(screen: Screen[Any]) -> list[tuple[str, str]]:
    """Keys and what they do, each action once: ours, which have an id, before those of every table and text field."""
    found: dict[tuple[str, str], list[str]] = {}
    bindings = sorted(screen.active_bindings.items(), key=lambda entry: entry[1].binding.id is None)
    for key, active in bindings:
        binding = active.binding
        if binding.description and active.enabled and not binding.system:
            shown = screen.app.get_key_display(binding)
            keys = found.setdefault((binding.action, binding.description), [])
            keys.append(format_key(key) if shown in keys else shown)  # of several keys one is shown by its sign
    return [(", ".join(keys), description) for (_, description), keys in found.items()]
