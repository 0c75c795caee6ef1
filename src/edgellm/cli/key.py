"""edgellm key"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgellm.cli.context import json_option

if TYPE_CHECKING:
    from edgellm.server.security.key_file import KeyFile

__all__ = ["command"]


@click.group("key")
def command() -> None:
    """Make, list and revoke the API keys of `serve`."""


@command.command("add")
@click.argument("name")
@json_option
def add(name: str, as_json: bool) -> None:
    """Make a key and print it, this once: only its hash is kept. NAME says whose it is."""
    from edgellm.cli.console import print_json, print_message

    file = _key_file()
    key = file.add(name)
    if as_json:
        print_json({"name": name, "key": key})
        return
    click.echo(key)
    print_message(f"clients send it as `Authorization: Bearer KEY`; `edgellm key revoke {name}` ends it")


@command.command("list")
@json_option
def show(as_json: bool) -> None:
    """List the names of the keys, and when they were made."""
    import time

    from edgellm.cli.console import print_json, print_message, print_table

    keys = _key_file().read()
    if as_json:
        print_json([{"name": key.name, "created": key.created, "scope": key.scope} for key in keys])
    elif keys:
        made = [time.strftime("%Y-%m-%d %H:%M", time.localtime(key.created)) for key in keys]
        print_table(["NAME", "CREATED"], [[key.name, when] for key, when in zip(keys, made, strict=True)])
    else:
        print_message("there is no key; `edgellm key add NAME` makes one")


@command.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """Forget a key: servers that run refuse it from now on."""
    from edgellm.cli.console import print_message

    _key_file().revoke(name)
    print_message(f"the key {name} is revoked")


def _key_file() -> KeyFile:
    from edgellm.cli.context import user_settings
    from edgellm.server.security.key_file import KeyFile

    return KeyFile(user_settings().paths.config)
