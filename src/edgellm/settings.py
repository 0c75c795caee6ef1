"""Layered settings: the flag typed, then EDGELLM_*, then --config, the user's file, the machine's file, the default.

Every field is documented here; docs/reference/settings.md is generated from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edgellm.errors import UsageError
from edgellm.files import read_small_file
from edgellm.paths import Paths, user_path, user_paths
from edgellm.toml import LIMIT_BYTES, parse_toml

__all__ = ["Settings", "SettingsWithOrigin", "field_help", "load_settings"]

SYSTEM_CONFIG = Path("/etc/edgellm/config.toml")
_EMPTY_MEANS_NONE = {"system_store"}  # elsewhere an empty variable is one that is not set


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. Each can be set as EDGELLM_<NAME IN UPPER CASE> and in config.toml."""

    store: Annotated[str | None, Meta(description="Folder of the bundle store.")] = None
    state: Annotated[str | None, Meta(description="Folder for what this machine measured and remembers.")] = None
    system_store: Annotated[
        str | None,
        Meta(
            description="Folder of the machine's bundles, read beside the store and never written; empty for none. "
            "Default: /var/lib/edgellm/store, none with EDGELLM_HOME."
        ),
    ] = None
    device: Annotated[str | None, Meta(description="Device profile used when --device is not given.")] = None
    min_speed: Annotated[
        float, Meta(gt=0, le=10000, description="Tokens per second that `auto` wants to reach at least.")
    ] = 5.0
    threads: Annotated[int, Meta(ge=0, le=1024, description="Decode threads; 0 follows the plan.")] = 0


@dataclass(frozen=True)
class SettingsWithOrigin:
    """The settings in force, and for each field the place it came from."""

    values: Settings
    origin: dict[str, str]
    paths: Paths


def field_help() -> dict[str, str]:
    """The description of each setting."""
    schema = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    return {name: entry.get("description", "") for name, entry in schema.items()}


def load_settings(
    config_file: str | None = None,
    environ: Mapping[str, str] | None = None,
    system_config: Path = SYSTEM_CONFIG,
) -> SettingsWithOrigin:
    """Merge all layers below the flags. Raises UsageError naming the file or variable and the field."""
    environ = os.environ if environ is None else environ
    paths = user_paths(environ)
    merged: dict[str, Any] = {}
    origin = dict.fromkeys(Settings.__struct_fields__, "default")
    layers = [(system_config, False), (paths.config / "config.toml", False)]
    if config_file is not None:
        layers.append((user_path(config_file), True))
    for path, required in layers:
        for name, value in _read_file(path, required).items():
            merged[name] = value
            origin[name] = str(path)
    for name in Settings.__struct_fields__:
        variable = f"EDGELLM_{name.upper()}"
        if environ.get(variable) or (variable in environ and name in _EMPTY_MEANS_NONE):
            merged[name] = _convert({name: environ[variable]}, variable, strict=False)[name]
            origin[name] = variable
    values = msgspec.convert(merged, Settings)
    return SettingsWithOrigin(
        values=values,
        origin=origin,
        paths=Paths(
            config=paths.config,
            store=user_path(values.store).absolute() if values.store else paths.store,
            state=user_path(values.state).absolute() if values.state else paths.state,
            cache=paths.cache,
            system_store=_system_store(values.system_store, paths),
        ),
    )


def _system_store(value: str | None, paths: Paths) -> Path | None:
    if value is None:
        return paths.system_store
    return user_path(value).absolute() if value else None


def _read_file(path: Path, required: bool) -> dict[str, Any]:
    if not required and not path.exists():
        return {}
    table = parse_toml(read_small_file(path, LIMIT_BYTES, "the settings file"), str(path))
    return _convert(table, str(path), strict=True)


def _convert(table: dict[str, Any], where: str, *, strict: bool) -> dict[str, Any]:
    try:
        values = msgspec.convert(table, Settings, strict=strict)
    except msgspec.ValidationError as error:
        known = ", ".join(Settings.__struct_fields__)
        raise UsageError(f"{where}: {error}", hint=f"the settings are: {known}") from error
    return {name: getattr(values, name) for name in table}
