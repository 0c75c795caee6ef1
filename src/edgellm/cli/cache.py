"""edgellm cache"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option

__all__ = ["command"]


@click.group("cache")
def command() -> None:
    """List or remove the prompts whose state is kept on the disk."""


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the saved prefixes, last used first.

    A "system" prefix is a baked system prompt, a "chat" the tokens of a conversation. MODEL is a bundle that uses the
    prefix, or the start of the model file's digest where none is left.
    """
    from edgellm.cli.console import print_json, print_message, print_table, printable
    from edgellm.cli.context import open_store, user_settings
    from edgellm.cli.prefixes import prefix_rows
    from edgellm.units import format_bytes

    settings = user_settings()
    rows, damaged = prefix_rows(open_store(settings), settings.paths.prefixes)
    if as_json:
        print_json({"folder": str(settings.paths.prefixes), "prefixes": rows, "damaged": damaged})
        return
    if not rows and not damaged:
        print_message("no prefixes are saved")
        return
    print_table(
        ["MODEL", "KIND", "TOKENS", "SIZE", "USED"],
        [
            [printable(row.label), row.kind, str(row.tokens), format_bytes(row.size_bytes), row.last_used[:10]]
            for row in rows
        ],
        right=(2, 3),
    )
    if damaged:
        print_message(f"{damaged} damaged files: `edgellm cache clear` removes them")


@command.command("clear")
@click.argument("name", required=False)
@json_option
def clear(name: str | None, as_json: bool) -> None:
    """Remove the saved prefixes, all or those of one model.

    NAME is a bundle, or the start of a model file's digest as `list` shows it.
    """
    from edgellm.cli.console import print_json, print_message
    from edgellm.cli.context import user_settings
    from edgellm.cli.prefixes import named_model
    from edgellm.units import format_bytes
    from edgellm_runtimes.kv_store import PrefixFolder

    settings = user_settings()
    folder = PrefixFolder(settings.paths.prefixes)
    removed = folder.clear() if name is None else folder.remove_model(named_model(name, settings))
    if as_json:
        print_json(removed)
    else:
        print_message(f"freed {format_bytes(removed.size_bytes)}: {removed.entries} saved prefixes")
