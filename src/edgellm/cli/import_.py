"""edgellm import"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import json_option, quiet_option

__all__ = ["command"]


@click.command("import")
@click.argument("source", metavar="FILE.tar|DIR|-")
@click.option("--name", metavar="NAME[:TAG]", help="Name of the bundle here.  [default: its own]")
@click.option("--smoke", is_flag=True, help="Load each bundle afterwards and let it say a few tokens.")
@json_option
@quiet_option
def command(as_json: bool, quiet: bool, **options: Any) -> None:
    """Take bundles from an archive, a folder or a pipe into the store.

    Every byte is compared with its digest, and all bundles appear in one step or none does. What the store has already
    is not written again, and from a folder or a file it is not read either.
    """
    from edgellm.cli.import_command import ImportOptions, import_bundles

    import_bundles(ImportOptions(as_json=as_json, quiet=quiet, **options))
