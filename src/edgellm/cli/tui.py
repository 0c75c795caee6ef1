"""edgellm tui"""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("tui")
@click.option(
    "--theme",
    type=click.Choice(["auto", "dark", "light", "ansi", "ansi-light"]),
    help="Colours; ansi ones are the terminal's own, for consoles with few.  [default: auto]",
)
@click.option(
    "--keep-server", is_flag=True, help="A server that has to be started listens as `serve` does, and stays afterwards."
)
@click.pass_context
def command(ctx: click.Context, theme: str | None, keep_server: bool) -> None:
    """Manage models, jobs and chats of this machine in the terminal.

    It asks the server of the store. Where none runs it starts one, on a Unix socket of this user alone, which ends
    after its last job and client. `edgellm` alone is the same.
    """
    from edgellm.cli.context import user_settings
    from edgellm.cli.main import on_terminal
    from edgellm.errors import UsageError

    if not on_terminal():
        raise UsageError(
            "this is no terminal that can show a screen",
            hint="log in with `ssh -t`, set TERM, or use the commands: edgellm list, edgellm run, edgellm pull",
        )
    from edgellm.tui.session import run_tui

    settings = user_settings()
    config_file = ctx.find_root().obj.get("config_file") if isinstance(ctx.find_root().obj, dict) else None
    ctx.exit(run_tui(settings, keep_server=keep_server, theme=theme or settings.values.theme, config_file=config_file))
