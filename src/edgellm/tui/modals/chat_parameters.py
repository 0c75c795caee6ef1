"""How the answers of a conversation are made: every parameter with its range, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from edgellm.errors import EdgeLLMError
from edgellm.tui.chat.parameters import CHAT_PARAMETERS, default_of, parameter, read_value, shown_value
from edgellm.tui.chat.presets import Presets
from edgellm.tui.modals.ask_choice import AskChoice
from edgellm.tui.modals.ask_text import AskText

__all__ = ["ChatParameters", "parameter_line"]


class ChatParameters(ModalScreen[dict[str, Any] | None]):
    """The parameters that are chosen, or None when they stay as they are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel"),
        Binding("ctrl+j", "done", "Take them"),
        Binding("delete,d", "reset", "Model's own"),
        Binding("p", "preset", "Preset"),
        Binding("s", "save", "Save as preset"),
    ]

    def __init__(self, sampling: Mapping[str, Any], presets: Presets) -> None:
        super().__init__()
        self._chosen = dict(sampling)
        self._presets = presets

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog chat-parameters"):
            yield Static("Parameters", classes="dialog--title")
            options = [Option(parameter_line(each.name, self._chosen), id=each.name) for each in CHAT_PARAMETERS]
            yield OptionList(*options, id="parameters", compact=True)
            yield Static(id="meaning", classes="dialog--hint", markup=False)
            yield Input(id="value", compact=True)
            yield Static(
                "Enter changes one · d the model's own · p preset · s save as preset · ^j done · Esc cancel",
                classes="dialog--hint",
            )

    def on_mount(self) -> None:
        """The list first."""
        options = self.query_one("#parameters", OptionList)
        options.highlighted = 0
        options.focus()

    @property
    def _highlighted_name(self) -> str:
        option = self.query_one("#parameters", OptionList).highlighted_option
        assert option is not None
        assert option.id is not None
        return option.id

    @on(OptionList.OptionHighlighted, "#parameters")
    def _highlighted(self) -> None:
        wanted = parameter(self._highlighted_name)
        self._explain(f"{wanted.meaning} ({wanted.values})")
        self.query_one("#value", Input).value = shown_value(self._chosen.get(wanted.name))

    @on(OptionList.OptionSelected, "#parameters")
    def _change(self) -> None:
        self.query_one("#value").focus()

    @on(Input.Submitted, "#value")
    def _changed(self, event: Input.Submitted) -> None:
        name = self._highlighted_name
        if not event.value.strip():
            self._chosen.pop(name, None)
        else:
            try:
                self._chosen[name] = read_value(parameter(name), event.value)
            except EdgeLLMError as error:
                self._explain(error.message if error.hint is None else f"{error.message}: {error.hint}")
                return
        self._show()
        self.query_one("#parameters").focus()

    def action_leave(self) -> None:
        """Back to the list, from there out."""
        if self.query_one("#value").has_focus:
            self._highlighted()
            self.query_one("#parameters").focus()
        else:
            self.dismiss(None)

    def action_done(self) -> None:
        """Take what is chosen."""
        self.dismiss(self._chosen)

    def action_reset(self) -> None:
        """The model's own value again."""
        self._chosen.pop(self._highlighted_name, None)
        self._show()

    def action_preset(self) -> None:
        """Take all parameters of a preset."""

        def chosen(name: str | None) -> None:
            if name is not None:
                self._chosen = self._presets.get(name)
                self._show()

        choices = [(name, _preset_line(name, values)) for name, values in self._presets.all().items()]
        self.app.push_screen(AskChoice("Preset", choices), chosen)

    def action_save(self) -> None:
        """Keep what is chosen under a name."""

        def named(name: str | None) -> None:
            if name is None:
                return
            try:
                self._presets.save(name, self._chosen)
            except EdgeLLMError as error:
                self._explain(error.message if error.hint is None else f"{error.message}: {error.hint}")
            else:
                self._explain(f"the preset {name} is saved")

        self.app.push_screen(AskText("Name of the preset", yes="Save"), named)

    def _show(self) -> None:
        options = self.query_one("#parameters", OptionList)
        for each in CHAT_PARAMETERS:
            options.replace_option_prompt(each.name, parameter_line(each.name, self._chosen))
        self._highlighted()

    def _explain(self, text: str) -> None:
        self.query_one("#meaning", Static).update(text)


def parameter_line(name: str, chosen: Mapping[str, Any]) -> Content:
    """A parameter with its value: the chosen one, else what counts without one."""
    if name in chosen:
        return Content.assemble((f"{name:<30}", "bold"), (shown_value(chosen[name]), "bold $text-accent"))
    default = shown_value(default_of(parameter(name)))
    return Content.assemble(f"{name:<30}", (f"model's own{f', else {default}' if default else ''}", "dim"))


def _preset_line(name: str, values: Mapping[str, Any]) -> Content:
    shown = ", ".join(f"{key} {shown_value(value)}" for key, value in values.items()) or "as the model says"
    return Content.assemble((f"{name:<12}", "bold"), (shown, "dim"))
