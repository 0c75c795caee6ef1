"""edgellm stop"""

from __future__ import annotations

import click

from edgellm.cli.context import quiet_option

__all__ = ["command"]


@click.command("stop")
@click.argument("model", required=False, metavar="[NAME]")
@click.option("--server", "server", is_flag=True, help="End the servers of this store, once their answers are done.")
@click.option("--now", is_flag=True, help="With --server: cut answers off.")
@quiet_option
def command(model: str | None, server: bool, now: bool, quiet: bool) -> None:
    """Unload a model from the servers that run, or end the servers."""
    from edgellm.cli.stop_session import stop_model, stop_servers
    from edgellm.errors import UsageError

    if (model is None) != server:
        raise UsageError(
            "say what to stop: a model's name, or --server", hint="`edgellm ps` shows what is loaded in which server"
        )
    if now and not server:
        raise UsageError("--now belongs to --server", hint=f"edgellm stop {model}")
    if model is None:
        stop_servers(now=now, quiet=quiet)
    else:
        stop_model(model, quiet=quiet)
