"""edgellm gc"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgellm.cli.context import json_option, yes_option

if TYPE_CHECKING:
    from edgellm.paths import Paths
    from edgellm.store.gc import GcReport
    from edgellm.store.store import Store

__all__ = ["command"]


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--cache", is_flag=True, help="Also remove downloads that nothing is using, and edgellm's own cache.")
@click.option("--hub-cache", is_flag=True, help="With --cache: also the models that all Hugging Face tools share.")
@yes_option
@json_option
def command(dry_run: bool, cache: bool, hub_cache: bool, yes: bool, as_json: bool) -> None:
    """Free the space that no bundle uses.

    Removes files that no bundle needs and what interrupted commands left behind; what is in use stays. Downloads stay
    too, so that the next `pull` goes on with them, unless --cache is given.
    """
    import msgspec

    from edgellm.cli.console import print_json, print_message, print_warning
    from edgellm.cli.context import open_store, user_settings
    from edgellm.cli.gc_caches import clean_caches, confirm_hub_cache, print_cleaned
    from edgellm.errors import BundleError, UsageError
    from edgellm.units import format_bytes

    if hub_cache and not cache:
        raise UsageError("--hub-cache goes with --cache", hint="edgellm gc --cache --hub-cache")
    settings = user_settings()
    store = open_store(settings)
    if hub_cache and not dry_run:
        hub_cache = confirm_hub_cache(yes)
    cleaned = clean_caches(store, settings.paths, hub=hub_cache, dry_run=dry_run) if cache else None
    report = store.gc(dry_run=dry_run)
    prepared_bytes = _prepared_of_none(store, settings.paths, report, dry_run)
    if as_json:
        caches = {"caches": cleaned} if cleaned is not None else {}
        print_json(msgspec.to_builtins(report) | {"prepared_bytes": prepared_bytes} | caches)
    else:
        verb = "would free" if dry_run else "freed"
        print_message(
            f"{verb} {format_bytes(report.freed_bytes)}: {report.blobs} unused files, {report.leftovers} leftovers of "
            "interrupted commands"
        )
        if prepared_bytes:
            print_message(f"{verb} {format_bytes(prepared_bytes)}: prepared weights of bundles that are gone")
        if cleaned is not None:
            print_cleaned(cleaned, verb, hub=hub_cache)
        if report.in_use:
            print_warning(f"{len(report.in_use)} unused files stay: a running model or pack holds them")
    if report.damaged:
        raise BundleError(
            f"no file was removed: {', '.join(report.damaged)} cannot be read, so nobody knows which files it needs",
            hint=f"pack it again, or remove it: edgellm rm {report.damaged[0]}; then run gc again",
        )


def _prepared_of_none(store: Store, paths: Paths, report: GcReport, dry_run: bool) -> int:
    """Remove what was prepared from weights that no bundle has; returns the bytes. Of a damaged bundle nobody knows."""
    from edgellm_runtimes.onnx.prepared import remove_prepared

    if report.damaged or not paths.prepared.is_dir():
        return 0
    weights = {file.digest for row in store.list() if row.bundle is not None for file in row.bundle.weights}
    return remove_prepared(paths.prepared, weights, dry_run=dry_run)
