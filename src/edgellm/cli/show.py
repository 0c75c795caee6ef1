"""edgellm show"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option

__all__ = ["command"]


@click.command("show")
@click.argument("name", metavar="NAME|DIR")
@click.option("--license", "license_only", is_flag=True, help="Print the licence's SPDX id (or LicenseRef) and text.")
@json_option
def command(name: str, license_only: bool, as_json: bool) -> None:
    """Show one bundle: plan, memory, speed, source, licence."""
    from edgellm.cli.console import print_json
    from edgellm.cli.context import open_store, user_settings
    from edgellm.cli.target import find_bundle
    from edgellm.errors import UsageError

    settings = user_settings()
    store = open_store(settings)
    bundle = find_bundle(name, settings)
    if bundle is None:
        raise UsageError(f"{name} is not a bundle", hint="give a name of `edgellm list`, or the folder of a bundle")
    if license_only:
        from edgellm.cli.bundle_view import print_license
        from edgellm.store.records import license_record

        record = license_record(bundle)
        if as_json:
            print_json(record)
        else:
            print_license(record)
        return
    from edgellm.cli.bundle_view import print_record
    from edgellm.store.records import show_record

    record = show_record(bundle, store.load_smoke(bundle.digest))
    if as_json:
        print_json(record)
    else:
        print_record(record)
