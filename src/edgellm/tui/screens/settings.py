"""The mode Settings: what is in force on the server, and where each value comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from edgellm.api.watching import SettingOrigin
from edgellm.errors import EdgeLLMError, NetworkError
from edgellm.tui.models.setting_rows import SettingRow, change_lines, config_line, own_settings, setting_rows
from edgellm.tui.screens.base import ModeScreen
from edgellm.tui.widgets.keyed_table import Cell, KeyedTable, TableColumn
from edgellm.tui.widgets.tones import toned
from edgellm.tui.workers import start_work

if TYPE_CHECKING:
    from edgellm.tui.app import EdgeApp

__all__ = ["SettingsScreen"]

_COLUMNS = (
    TableColumn("SETTING", 17),
    TableColumn("VALUE", 0, keeps_end=True),
    TableColumn("FROM", 24, keeps_end=True),
)

_NAME_WIDTH = 13


class SettingsScreen(ModeScreen):
    """See the module. They are read when the mode is shown: a server takes them anew at SIGHUP alone. Those that are
    this program's affair are as they count in it."""

    MODE = "settings"
    CSS_PATH = "settings.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="settings.filter", key_display="/"),
        Binding("y", "copy", "Copy line", id="settings.copy", tooltip="Copy the line for config.toml"),
        Binding("r", "read", "Read again", id="settings.read"),
        Binding("escape", "clear", "Show all", id="settings.clear", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[str, SettingOrigin] = {}
        self._rows: dict[str, SettingRow] = {}

    def compose_body(self) -> ComposeResult:
        """See the class."""
        yield Input(placeholder="words in the name, the value, the origin or the meaning; Enter or Esc", id="words")
        yield KeyedTable(_COLUMNS, id="settings")
        yield Static(Content("Asking the server..."), id="setting")

    def on_mount(self) -> None:
        """Keys go to the table."""
        super().on_mount()
        self.query_one(KeyedTable).focus()

    def on_connected(self) -> None:
        """Another server may have others."""
        self.action_read()

    def on_screen_resume(self) -> None:
        """They may have been read again meanwhile."""
        if self.connection.is_connected:
            self.action_read()

    def action_read(self) -> None:
        """Ask the server."""
        start_work(self, "read", self._read, exclusive=True)

    def action_filter(self) -> None:
        """Type words; the settings with all of them are shown at once."""
        self.add_class("-filtering")
        self.query_one("#words", Input).focus()

    def action_clear(self) -> None:
        """Show all again."""
        self.query_one("#words", Input).value = ""
        self.remove_class("-filtering")
        self.query_one(KeyedTable).focus()

    def action_copy(self) -> None:
        """The line that goes into config.toml."""
        row = self.row
        if row is not None and row.is_setting:
            self.app.copy_to_clipboard(config_line(row))
            self.notify(f"{config_line(row)} copied", timeout=3, markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Folders have no line in config.toml."""
        if action == "copy":
            return self.is_mounted and self.row is not None and self.row.is_setting
        return super().check_action(action, parameters)

    @property
    def row(self) -> SettingRow | None:
        """The one under the cursor."""
        return self._rows.get(self.query_one(KeyedTable).key or "")

    async def _read(self) -> None:
        try:
            found = await self.connection.get("/api/edgellm/settings", dict[str, SettingOrigin])
        except NetworkError:  # the banner says it
            return
        except EdgeLLMError as error:
            self.tell(error)
            return
        self._found = own_settings(found, cast("EdgeApp", self.app).settings)
        self._show()

    @on(Input.Changed, "#words")
    def _show(self) -> None:
        rows = setting_rows(self._found, self.query_one("#words", Input).value)
        self._rows = {row.name: row for row in rows}
        self.query_one(KeyedTable).show(
            [(row.name, (Cell(row.name), Cell(row.value), Cell(row.origin, row.tone))) for row in rows]
        )
        self._explain()

    @on(Input.Submitted, "#words")
    def _submitted(self) -> None:
        self.query_one(KeyedTable).focus()

    @on(KeyedTable.RowHighlighted)
    def _explain(self) -> None:
        row = self.row
        parts: list[Content] = []
        if row is None:
            parts.append(Content("No setting has these words." if self._found else "Asking the server..."))
        else:
            folder = self._found.get("config_folder")
            parts += [Content.styled(f"{row.name} {row.value}", "bold"), Content(row.about)]
            parts += [
                Content.assemble(toned(name.ljust(_NAME_WIDTH), "quiet"), toned(text, "plain" if name else "quiet"))
                for name, text in change_lines(row, "~/.config/edgellm" if folder is None else str(folder.value))
            ]
        self.query_one("#setting", Static).update(Content("\n").join(parts))
        self.refresh_bindings()
