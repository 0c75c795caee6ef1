"""edgellm serve"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import json_option, quiet_option
from edgellm.cli.serve_access import access_options
from edgellm.cli.serve_models import model_options

__all__ = ["command"]


@click.command("serve")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes any free one.  [default: 11434]"
)
@click.option("--socket", metavar="PATH", help="Path of the Unix socket.  [default: in $XDG_RUNTIME_DIR/edgellm]")
@click.option("--no-socket", is_flag=True, help="No Unix socket.")
@click.option("--socket-only", is_flag=True, help="Listen on the Unix socket alone.")
@click.option("--tls-cert", metavar="FILE", help="Serve HTTPS with this certificate and its chain (PEM).")
@click.option("--tls-key", metavar="FILE", help="The key of that certificate (PEM).")
@click.option(
    "--drain",
    "drain_s",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help="How long answers may take to finish once the server is told to stop.  [default: 60]",
)
@click.option(
    "--until-idle",
    "until_idle_s",
    type=click.FloatRange(1, 86400),
    metavar="SECONDS",
    help="End once no client is connected and no job runs for so long.",
)
@click.option(
    "--print-unit",
    is_flag=False,
    flag_value="service",
    metavar="[UNIT]",
    help="Print a systemd file for this command line and end: service, socket, sysusers or user-service.",
)
@model_options
@access_options
@json_option
@quiet_option
def command(
    no_socket: bool, socket_only: bool, print_unit: str | None, as_json: bool, quiet: bool, **flags: Any
) -> None:
    """Answer requests of apps over HTTP, as OpenAI, Ollama and Anthropic do.

    Once it answers, the variables that apps read go to stdout, or with --json one line that says where it listens.
    SIGINT and SIGTERM let answers finish and end it, a second one ends it at once; SIGHUP reads the settings again.
    """
    from edgellm.cli.context import open_store, user_settings
    from edgellm.errors import UsageError
    from edgellm.server.config import ServerConfig, server_config
    from edgellm.settings import SettingsWithOrigin

    if no_socket and (flags["socket"] or socket_only):
        raise UsageError("--no-socket contradicts --socket and --socket-only")
    flags |= {"socket": "" if no_socket else flags["socket"], "tcp": False if socket_only else None}

    def read() -> tuple[ServerConfig, SettingsWithOrigin]:
        settings = user_settings()
        return server_config(settings.values, flags), settings

    config, settings = read()
    if print_unit is not None:
        from edgellm.cli.units import print_unit_file

        print_unit_file(print_unit, config, click.get_current_context())
        return
    from edgellm.cli.serving import serve_until_told

    serve_until_told(config, settings, open_store(settings), read, as_json=as_json, quiet=quiet)
