"""edgellm cp"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option

__all__ = ["command"]


@click.command("cp")
@click.argument("source")
@click.argument("target", metavar="NAME[:TAG]")
@json_option
def command(source: str, target: str, as_json: bool) -> None:
    """Give a bundle a second name.

    No data is copied, except for a bundle of the machine's store: that one becomes the user's own.
    `edgellm cp NAME:TAG@previous NAME:TAG` goes back to what NAME:TAG was before.
    """
    from edgellm.bundle.names import parse_name
    from edgellm.cli.console import print_json, print_message
    from edgellm.cli.context import open_store, user_settings
    from edgellm.cli.progress import cancel_on_interrupt, make_progress
    from edgellm.machine import this_device_id

    settings = user_settings()
    store = open_store(settings)
    entry = store.find(source, this_device_id(settings))
    name = parse_name(target, default_tag=entry.name.tag)
    with make_progress(as_json or not entry.system) as progress, cancel_on_interrupt() as cancel:
        digest = store.copy(source, name, this_device_id(settings), progress=progress, cancel=cancel)
    if as_json:
        print_json({"name": str(name), "digest": digest})
    else:
        print_message(f"{name} is now {digest}")
