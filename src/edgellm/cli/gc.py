"""edgellm gc"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option

__all__ = ["command"]


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def command(dry_run: bool, as_json: bool) -> None:
    """Free the space that no bundle uses.

    Removes files that no bundle needs and what interrupted commands left behind; what is in use stays.
    """
    import msgspec

    from edgellm.cli.console import print_json, print_message, print_warning
    from edgellm.cli.context import open_store
    from edgellm.errors import BundleError
    from edgellm.units import format_bytes

    report = open_store().gc(dry_run=dry_run)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        verb = "would free" if dry_run else "freed"
        print_message(
            f"{verb} {format_bytes(report.freed_bytes)}: {report.blobs} unused files, {report.leftovers} leftovers of "
            "interrupted commands"
        )
        if report.in_use:
            print_warning(f"{len(report.in_use)} unused files stay: a running model or pack holds them")
    if report.damaged:
        raise BundleError(
            f"no file was removed: {', '.join(report.damaged)} cannot be read, so nobody knows which files it needs",
            hint=f"pack it again, or remove it: edgellm rm {report.damaged[0]}; then run gc again",
        )
