"""Layered settings: the flag typed, then EDGELLM_*, then --config, the user's file, the machine's file, the default.

Every field is documented here; docs/reference/settings.md is generated from it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgellm.errors import UsageError
from edgellm.files import read_small_file
from edgellm.paths import Paths, path_origins, user_path, user_paths
from edgellm.toml import LIMIT_BYTES, parse_toml

__all__ = [
    "Settings",
    "SettingsWithOrigin",
    "ThemeName",
    "check_setting",
    "field_help",
    "load_settings",
    "settings_rows",
    "with_setting",
]

SYSTEM_CONFIG = Path("/etc/edgellm/config.toml")
Report = Callable[[UsageError], None]
ThemeName = Literal[
    "auto",
    "dark",
    "light",
    "ansi",
    "ansi-light",
    "atom-one-dark",
    "atom-one-light",
    "catppuccin-frappe",
    "catppuccin-latte",
    "catppuccin-macchiato",
    "catppuccin-mocha",
    "dracula",
    "flexoki",
    "gruvbox",
    "monokai",
    "nord",
    "rose-pine",
    "rose-pine-dawn",
    "rose-pine-moon",
    "solarized-dark",
    "solarized-light",
    "textual-dark",
    "textual-light",
    "tokyo-night",
]
_EMPTY_MEANS_NONE = {"system_store", "socket"}  # elsewhere an empty variable is one that is not set


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
    prefix_cache_mib: Annotated[
        int, Meta(ge=0, le=1 << 24, description="Most MiB that saved prompts may take on the disk; 0 saves none.")
    ] = 1024
    prefix_daily_mib: Annotated[
        int, Meta(ge=0, le=1 << 24, description="Most MiB of saved prompts that are written in a day: SD cards wear.")
    ] = 1024
    cache_chats: Annotated[
        bool,
        Meta(
            description="Whether a server keeps conversations on the disk: what was said is not computed again after "
            "a restart."
        ),
    ] = False
    memory_budget: Annotated[
        str | None,
        Meta(description="Memory that a server and its models may take, like 2GiB. Default: what is free."),
    ] = None
    parallel: Annotated[
        int,
        Meta(
            ge=0,
            le=256,
            description="Answers that a server's model gives at the same time; 0: what suits the memory, 4 at most.",
        ),
    ] = 0
    keep_alive: Annotated[
        str,
        Meta(
            description="How long a server keeps a model after its last request: 5m, 1h30m or seconds; "
            "below 0 for ever, 0 not at all."
        ),
    ] = "5m"
    isolation: Annotated[
        Literal["auto", "worker", "process"],
        Meta(
            description="Where a server's models run: each in a worker process, in the server's own process, "
            "or as suits the device."
        ),
    ] = "auto"
    host: Annotated[str, Meta(description="Address that `serve` listens on, and where clients look for it.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="Port of `serve`; 0 takes any free one.")] = 11434
    socket: Annotated[
        str | None,
        Meta(description="Path of the Unix socket of `serve`; empty for none. Default: in $XDG_RUNTIME_DIR/edgellm."),
    ] = None
    tls_cert: Annotated[str | None, Meta(description="PEM file with the certificate of `serve` and its chain.")] = None
    tls_key: Annotated[str | None, Meta(description="PEM file with the key of that certificate.")] = None
    chat_history: Annotated[
        bool, Meta(description="Whether `chat` and the terminal interface keep conversations on the disk.")
    ] = True
    theme: Annotated[
        ThemeName,
        Meta(
            description="Colours of the terminal program, kept here when another one is chosen there; ansi ones are "
            "the terminal's own, for consoles with few."
        ),
    ] = "auto"
    drain_s: Annotated[
        float, Meta(ge=0, le=86400, description="Seconds that answers may take to finish once `serve` is told to stop.")
    ] = 60.0


@dataclass(frozen=True)
class SettingsWithOrigin:
    """The settings in force, and for each field the place it came from."""

    values: Settings
    origin: dict[str, str]
    paths: Paths
    config_file: Path | None = None  # that of --config


def with_setting(settings: SettingsWithOrigin, name: str, value: Any, origin: str) -> SettingsWithOrigin:
    """``settings`` in which ``name`` is otherwise."""
    values = msgspec.structs.replace(settings.values, **{name: value})
    return replace(settings, values=values, origin=settings.origin | {name: origin})


def check_setting(name: str, value: Any, where: str) -> None:
    """Raises UsageError, which begins with ``where``, for a value that the setting ``name`` cannot have."""

    def report(error: UsageError) -> None:
        raise error

    _convert({name: value}, where, report, strict=True)


def field_help() -> dict[str, str]:
    """The description of each setting."""
    schema = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    return {name: entry.get("description", "") for name, entry in schema.items()}


def settings_rows(settings: SettingsWithOrigin) -> list[tuple[str, Any, str]]:
    """Name, value, origin. A folder that no setting names comes from EDGELLM_HOME, an XDG variable, or nowhere."""
    paths, folders = settings.paths, path_origins()
    values = msgspec.to_builtins(settings.values)
    values |= {"store": str(paths.store), "state": str(paths.state), "system_store": str(paths.system_store or "")}
    rows = [
        (name, value, folders.get(name, "default") if settings.origin[name] == "default" else settings.origin[name])
        for name, value in values.items()
    ]
    return [
        *rows,
        ("config_folder", str(paths.config), folders["config"]),
        ("cache_folder", str(paths.cache), folders["cache"]),
        ("runtime_folder", str(paths.runtime), folders["runtime"]),
    ]


def load_settings(
    config_file: str | None = None,
    environ: Mapping[str, str] | None = None,
    system_config: Path = SYSTEM_CONFIG,
    problems: list[UsageError] | None = None,
) -> SettingsWithOrigin:
    """Merge all layers below the flags. Raises UsageError naming the file or variable and the field.

    With a list of ``problems`` what is wrong goes there instead, and the layers below count.
    """

    def report(error: UsageError) -> None:
        if problems is None:
            raise error
        problems.append(error)

    environ = os.environ if environ is None else environ
    paths = user_paths(environ)
    merged: dict[str, Any] = {}
    origin = dict.fromkeys(Settings.__struct_fields__, "default")
    layers = [(system_config, False), (paths.config / "config.toml", False)]
    if config_file is not None:
        layers.append((user_path(config_file), True))
    for path, required in layers:
        for name, value in _read_file(path, required, report).items():
            merged[name] = value
            origin[name] = str(path)
    for name in Settings.__struct_fields__:
        variable = f"EDGELLM_{name.upper()}"
        if environ.get(variable) or (variable in environ and name in _EMPTY_MEANS_NONE):
            for _, value in _convert({name: environ[variable]}, variable, report, strict=False).items():
                merged[name] = value
                origin[name] = variable
    values = msgspec.convert(merged, Settings)
    return SettingsWithOrigin(
        values=values,
        config_file=None if config_file is None else user_path(config_file),
        origin=origin,
        paths=Paths(
            config=paths.config,
            store=user_path(values.store).absolute() if values.store else paths.store,
            state=user_path(values.state).absolute() if values.state else paths.state,
            cache=paths.cache,
            runtime=paths.runtime,
            system_store=_system_store(values.system_store, paths),
        ),
    )


def _system_store(value: str | None, paths: Paths) -> Path | None:
    if value is None:
        return paths.system_store
    return user_path(value).absolute() if value else None


def _read_file(path: Path, required: bool, report: Report) -> dict[str, Any]:
    if not required and not path.exists():
        return {}
    try:
        table = parse_toml(read_small_file(path, LIMIT_BYTES, "the settings file"), str(path))
    except UsageError as error:
        report(error)
        return {}
    return _convert(table, str(path), report, strict=True)


def _convert(table: dict[str, Any], where: str, report: Report, *, strict: bool) -> dict[str, Any]:
    values = {}
    for name, value in table.items():
        if name not in Settings.__struct_fields__:
            near = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
            known = ", ".join(Settings.__struct_fields__)
            hint = f"did you mean {near[0]}?" if near else f"the settings are: {known}"
            report(UsageError(f"{where}: there is no setting {name[:80]!r}", hint=hint))
            continue
        try:
            values[name] = getattr(msgspec.convert({name: value}, Settings, strict=strict), name)
        except msgspec.ValidationError:
            report(UsageError(f"{where}: {name} must be {_expected(name)}, not {str(value)[:80]!r}"))
    return values


def _expected(name: str) -> str:
    """What a setting may be, in words."""
    schema = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"][name]
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    words = {"number": "a number", "integer": "a whole number"}.get(schema.get("type", ""), "a text")
    if "exclusiveMinimum" in schema:
        words += f" above {schema['exclusiveMinimum']}"
    if "minimum" in schema:
        words += f" of at least {schema['minimum']}"
    if "maximum" in schema:
        words += f" and at most {schema['maximum']}"
    return words
