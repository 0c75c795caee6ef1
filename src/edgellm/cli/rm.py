"""edgellm rm"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option, yes_option

__all__ = ["command"]


@click.command("rm")
@click.argument("names", nargs=-1, required=True)
@yes_option
@json_option
def command(names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove bundles from the store.

    NAME[:TAG] goes with its former version, NAME@previous alone. The space comes back with `edgellm gc`.
    """
    import sys

    from edgellm.cli.console import print_json, print_message
    from edgellm.cli.context import open_store

    store = open_store()
    found = [str(store.find(name)) for name in names]
    if not yes and sys.stdin is not None and sys.stdin.isatty():
        click.confirm(f"Remove {', '.join(found)}?", abort=True, err=True)
    removed = [str(entry) for name in names for entry in store.remove(name)]
    if as_json:
        print_json({"removed": removed})
    else:
        print_message(f"removed {', '.join(removed)}; `edgellm gc` frees the space")
