"""What most commands need: settings, the store, shared options."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgellm.devices.load import LoadedProfile
    from edgellm.errors import UsageError
    from edgellm.progress import Progress
    from edgellm.settings import SettingsWithOrigin
    from edgellm.store.store import Store

__all__ = [
    "format_option",
    "json_option",
    "load_device",
    "open_store",
    "quiet_option",
    "size_option_value",
    "user_settings",
    "yes_option",
]

_LEAST_BYTES = 1 << 20
Function = TypeVar("Function", bound=Callable[..., Any])


def format_option(function: Function) -> Function:
    """--format"""
    text = "Of the model file.  [default: that of the recipe; else gguf, or onnx where measured faster]"
    return click.option("--format", "format_", type=click.Choice(["gguf", "onnx"]), help=text)(function)


def json_option(function: Function) -> Function:
    """--json"""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(function)


def quiet_option(function: Function) -> Function:
    """--quiet"""
    return click.option("-q", "--quiet", is_flag=True, help="No progress and no messages.")(function)


def yes_option(function: Function) -> Function:
    """--yes"""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(function)


def user_settings(problems: list[UsageError] | None = None) -> SettingsWithOrigin:
    """The settings of this call. With a list of ``problems`` what is wrong in them goes there and ends nothing."""
    from edgellm.settings import load_settings

    context = click.get_current_context(silent=True)
    config_file = None
    if context is not None and isinstance(context.find_root().obj, dict):
        config_file = context.find_root().obj.get("config_file")
    return load_settings(config_file, problems=problems)


def open_store(settings: SettingsWithOrigin | None = None) -> Store:
    """The user's store; nothing is created until something is written."""
    from edgellm.errors import UsageError
    from edgellm.store.store import Store

    settings = settings or user_settings()
    for folder in (settings.paths.store, settings.paths.state):
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is not a folder", hint="EDGELLM_STORE, EDGELLM_STATE or EDGELLM_HOME name it")
    return Store(settings.paths.store, settings.paths.state, settings.paths.system_store)


def load_device(
    reference: str | None, memory: int | None, settings: SettingsWithOrigin, *, progress: Progress | None = None
) -> LoadedProfile:
    """The profile to plan with; without ``reference`` the configured device, else this machine.

    What was measured here replaces the estimates where the profile is `local` or the one of this machine. ``progress``
    hears why a stored measurement is not used. Raises NotFoundError, ProfileError, UnsupportedError.
    """
    from edgellm.machine import load_for_machine

    return load_for_machine(reference or settings.values.device, memory, settings, progress)


def size_option_value(text: str | None) -> int | None:
    """Bytes of an optional size option."""
    if text is None:
        return None
    from edgellm.errors import UsageError
    from edgellm.units import parse_bytes

    size_bytes = parse_bytes(text)
    if size_bytes < _LEAST_BYTES:
        plain = text.strip()
        hint = f"did you mean {plain}GiB?" if plain.isdecimal() else "write it like 4GiB or 512MiB"
        raise UsageError(f"{plain} is {size_bytes} bytes: no device has so little memory", hint=hint)
    return size_bytes
