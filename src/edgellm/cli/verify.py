"""edgellm verify"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option, quiet_option

__all__ = ["command"]


@click.command("verify")
@click.argument("name", required=False, metavar="[NAME|DIR|FILE.tar]")
@json_option
@quiet_option
def command(name: str | None, as_json: bool, quiet: bool) -> None:
    """Read every byte of the bundles and compare the digests.

    Without a name everything in the store is read. Ends with status 5 when something is damaged.
    """
    import msgspec

    from edgellm.bundle.layout import open_layout
    from edgellm.bundle.verify import verify_layout
    from edgellm.cli.console import print_json, print_message
    from edgellm.cli.context import open_store, user_settings
    from edgellm.cli.progress import cancel_on_interrupt, make_progress
    from edgellm.cli.target import means_path
    from edgellm.errors import BundleError
    from edgellm.machine import this_device_id
    from edgellm.paths import user_path
    from edgellm.units import format_bytes

    settings = user_settings()
    with make_progress(quiet) as progress, cancel_on_interrupt() as cancel:
        if name is not None and means_path(name, settings):
            report = verify_layout(open_layout(user_path(name)), progress=progress, cancel=cancel)
        else:
            report = open_store(settings).verify(name, this_device_id(settings), progress=progress, cancel=cancel)
    if as_json:
        print_json(msgspec.to_builtins(report))
    elif len(report.findings) > 1:  # a single one is the error itself
        for finding in report.findings:
            print_message(f"damaged: {finding.bundle + ': ' if finding.bundle else ''}{finding.problem}")
    error = report.error()
    if error is not None and len(report.findings) > 1 and not as_json:
        raise BundleError(f"{len(report.findings)} things are damaged: see above", hint=error.hint)
    if error is not None:
        raise error
    if not as_json:
        print_message(
            f"{report.bundles} bundle{'s' if report.bundles != 1 else ''}, {report.blobs} files, "
            f"{format_bytes(report.size_bytes)}: all as they should be"
        )
