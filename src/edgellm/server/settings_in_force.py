"""The settings of a server as they count: flags of its command line before everything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgellm.server.config import ServerConfig
from edgellm.settings import SettingsWithOrigin, settings_rows
from edgellm.units import format_bytes

__all__ = ["settings_in_force"]

_FLAGS = {
    "host": "--host",
    "port": "--port",
    "socket": "--socket",
    "tls_cert": "--tls-cert",
    "tls_key": "--tls-key",
    "drain_s": "--drain",
    "parallel": "--parallel",
    "isolation": "--isolation",
}


def settings_in_force(config: ServerConfig, settings: SettingsWithOrigin) -> list[tuple[str, Any, str]]:
    """Name, value and origin of each; the origin of what a flag said is the flag. ``settings`` alone know no flags."""
    said = dict(_said_by_flags(config, settings))
    return [(name, *said.get(name, (value, origin))) for name, value, origin in settings_rows(settings)]


def _said_by_flags(config: ServerConfig, settings: SettingsWithOrigin) -> Iterator[tuple[str, tuple[Any, str]]]:
    for name, flag in _FLAGS.items():
        value = getattr(config, name)
        if value is not None and value != getattr(settings.values, name):
            yield name, (value, "--no-socket" if name == "socket" and not value else flag)
    if config.keep_alive_s is not None:
        yield "keep_alive", (f"{config.keep_alive_s:g}s", "--keep-alive")
    if config.memory_budget_bytes is not None:
        yield "memory_budget", (format_bytes(config.memory_budget_bytes), "--memory-budget")
