"""edgellm export"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import json_option, quiet_option

__all__ = ["command"]


@click.command("export")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.argument("target", required=False, metavar="FILE.tar|DIR|-")
@click.option("--force", is_flag=True, help="Replace FILE.tar.")
@json_option
@quiet_option
def command(names: tuple[str, ...], target: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Write bundles to an archive, a folder or a pipe, to be imported elsewhere.

    NAME is a bundle of the store, or a folder that `pack --output` wrote. Every byte is compared with its digest on the
    way. A pipe carries a bundle to another machine: edgellm export NAME - | ssh HOST edgellm import -
    """
    from edgellm.cli.export_command import ExportOptions, export_bundles, require_both

    names, target = require_both(names, target)
    export_bundles(ExportOptions(names, target, as_json=as_json, quiet=quiet, **options))
