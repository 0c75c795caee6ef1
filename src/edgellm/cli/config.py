"""edgellm config"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option

__all__ = ["command"]


@click.group("config")
def command() -> None:
    """Show the settings in force and where each comes from."""


@command.command("show")
@click.option("--origin", is_flag=True, help="Add where each value comes from.")
@json_option
def show(origin: bool, as_json: bool) -> None:
    """Print every setting."""
    import msgspec

    from edgellm.cli.console import print_json, print_table
    from edgellm.cli.context import user_settings

    settings = user_settings()
    values = msgspec.to_builtins(settings.values)
    values["store"] = str(settings.paths.store)
    values["state"] = str(settings.paths.state)
    values["system_store"] = str(settings.paths.system_store or "")
    if as_json:
        print_json({name: {"value": value, "origin": settings.origin[name]} for name, value in values.items()})
        return
    rows = [
        [name, "-" if value is None else str(value), *([settings.origin[name]] if origin else [])]
        for name, value in values.items()
    ]
    print_table(["SETTING", "VALUE", *(["ORIGIN"] if origin else [])], rows)
