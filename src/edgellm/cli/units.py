"""`edgellm serve --print-unit`"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import click
from click.core import ParameterSource

from edgellm.server.config import ServerConfig
from edgellm.server.units import unit_text

__all__ = ["print_unit_file"]


_PATHS = ("socket", "tls_cert", "tls_key")
_NOT_OF_A_SERVICE = ("print_unit", "as_json", "quiet")


def print_unit_file(name: str, config: ServerConfig, context: click.Context) -> None:
    """Print the systemd file ``name`` for a server with ``config``, started as ``context`` says. Raises UsageError."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    listen = f"{host}:{config.port}" if config.tcp else "/run/edgellm/edgellm.sock"
    sys.stdout.write(unit_text(name, [*_this_program(), *_typed(context)], listen))


def _typed(context: click.Context) -> Iterator[str]:
    """The command line without what is for this call alone; systemd runs it in another folder."""
    config_file = context.find_root().obj["config_file"]
    if config_file is not None:
        yield from ("--config", str(Path(config_file).absolute()))
    yield "serve"
    for option in context.command.params:
        assert isinstance(option, click.Option)
        assert option.name is not None
        if context.get_parameter_source(option.name) is not ParameterSource.COMMANDLINE:
            continue
        if option.name in _NOT_OF_A_SERVICE:
            continue
        value = context.params[option.name]
        for each in value if option.multiple else (value,):
            yield option.opts[0]
            if not option.is_flag:
                yield str(Path(each).expanduser().absolute()) if option.name in _PATHS else str(each)


def _this_program() -> list[str]:
    """How to start the installation that runs now."""
    script = Path(sysconfig.get_path("scripts")) / "edgellm"
    return [str(script)] if script.exists() else [sys.executable, "-m", "edgellm.cli.main"]
