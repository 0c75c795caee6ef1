"""The settings of a server as rows, and how one is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple, get_type_hints

from edgellm.api.watching import SettingOrigin
from edgellm.settings import Settings, SettingsWithOrigin, field_help
from edgellm.tui.models.text import Tone, one_line

__all__ = ["SettingRow", "change_lines", "config_line", "own_settings", "setting_rows"]

_OWN = {"theme", "chat_history"}
_FOLDERS = {
    "config_folder": "Folder of config.toml and of the API keys. EDGELLM_HOME and XDG_CONFIG_HOME move it.",
    "cache_folder": "Folder of downloads and of saved prompts. EDGELLM_HOME and XDG_CACHE_HOME move it.",
    "runtime_folder": "Folder of the sockets of running servers. EDGELLM_HOME and XDG_RUNTIME_DIR move it.",
}


class SettingRow(NamedTuple):
    """One setting. ``is_setting`` is False for folders that only the environment moves."""

    name: str
    value: str
    origin: str
    about: str
    tone: Tone  # of the origin: quiet for a default
    is_setting: bool


def own_settings(found: Mapping[str, SettingOrigin], own: SettingsWithOrigin) -> dict[str, SettingOrigin]:
    """What a server says, with what is this program's affair as it counts here."""
    return {
        name: SettingOrigin(getattr(own.values, name), own.origin[name]) if name in _OWN else setting
        for name, setting in found.items()
    }


def setting_rows(found: Mapping[str, SettingOrigin], words: str = "") -> list[SettingRow]:
    """Those in whose name, value, origin or meaning all ``words`` are, in the order in which the server gives them."""
    about = field_help() | _FOLDERS
    rows = [
        SettingRow(
            name=name,
            value=_shown(setting.value),
            origin=one_line(setting.origin),
            about=about.get(name, ""),
            tone="quiet" if setting.origin == "default" else "good",
            is_setting=name in Settings.__struct_fields__,
        )
        for name, setting in found.items()
    ]
    wanted = words.lower().split()
    return [row for row in rows if all(word in " ".join(row[:4]).lower() for word in wanted)]


def change_lines(row: SettingRow, config_folder: str) -> list[tuple[str, str]]:
    """How the setting is changed, most lasting first, as names and texts; nothing for what is no setting."""
    if not row.is_setting:
        return []
    lines = [
        ("config.toml", config_line(row)),
        ("environment", f"EDGELLM_{row.name.upper()}={'...' if row.value == '-' else row.value}"),
    ]
    if row.origin.startswith("--"):
        lines.append(("command line", f"{row.origin}, which is in force"))
    lines.append(("file", f"{config_folder}/config.toml"))
    lines.append(("", "A flag counts most, then the environment. Read at the start and at SIGHUP."))
    return lines


def config_line(row: SettingRow) -> str:
    """The line of config.toml that says what is in force."""
    if row.value == "-":
        return f'{row.name} = "..."'
    is_text = get_type_hints(Settings).get(row.name) not in (bool, int, float)
    return f"{row.name} = {json.dumps(row.value, ensure_ascii=False) if is_text else row.value}"


def _shown(value: str | float | bool | None) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value:g}"
    return one_line(str(value))
