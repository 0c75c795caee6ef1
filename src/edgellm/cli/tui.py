"""edgellm tui"""

from __future__ import annotations

from typing import get_args

import click

__all__ = ["command"]


@click.command("tui")
@click.option(
    "--theme",
    metavar="auto|dark|light|ansi|ansi-light|...",
    help="Colours, this time; ansi ones are the terminal's own, for consoles with few.  [default: the setting theme]",
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
    from edgellm.settings import ThemeName, with_setting

    if not on_terminal():
        raise UsageError(
            "this is no terminal that can show a screen",
            hint="log in with `ssh -t`, set TERM, or use the commands: edgellm list, edgellm run, edgellm pull",
        )
    settings = user_settings()
    if theme is not None:
        if theme not in get_args(ThemeName):
            raise UsageError(f"there is no theme {theme!r}", hint=f"there are {', '.join(get_args(ThemeName))}")
        settings = with_setting(settings, "theme", theme, "--theme")
    from edgellm.tui.session import run_tui

    config_file = ctx.find_root().obj.get("config_file") if isinstance(ctx.find_root().obj, dict) else None
    ctx.exit(run_tui(settings, keep_server=keep_server, config_file=config_file))
