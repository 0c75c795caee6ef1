"""edgellm config"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgellm.cli.context import json_option

if TYPE_CHECKING:
    from edgellm.errors import UsageError

__all__ = ["command"]


@click.group("config", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show the settings in force and where each comes from."""
    if context.invoked_subcommand is None:
        context.invoke(show, origin=True, as_json=as_json)


@command.command("show")
@click.option("--origin", is_flag=True, help="Add where each value comes from.")
@json_option
def show(origin: bool, as_json: bool) -> None:
    """Print every setting, and the folders in use; what cannot be read is left out, and said."""
    from edgellm.cli.console import print_error, print_json
    from edgellm.cli.context import user_settings
    from edgellm.settings import settings_rows

    problems: list[UsageError] = []
    rows = settings_rows(user_settings(problems))
    if as_json:
        print_json({name: {"value": value, "origin": where} for name, value, where in rows})
    else:
        _print(rows, origin)
    for problem in problems[:-1]:
        print_error(problem.message, problem.hint)
    if problems:
        raise problems[-1]


def _print(rows: list[tuple[str, Any, str]], origin: bool) -> None:
    from edgellm.cli.console import print_table, printable

    print_table(
        ["SETTING", "VALUE", *(["ORIGIN"] if origin else [])],
        [
            [name, "-" if value in (None, "") else printable(str(value)), *([printable(where)] if origin else [])]
            for name, value, where in rows
        ],
    )
