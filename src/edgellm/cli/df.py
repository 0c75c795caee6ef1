"""edgellm df"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgellm.cli.context import json_option

if TYPE_CHECKING:
    from edgellm.sources.disk_usage import DiskUsage
    from edgellm.store.usage import StoreUsage

__all__ = ["command"]

Row = tuple[str, int | None, str, str]  # what, bytes, what frees them, where


@click.command("df")
@json_option
def command(as_json: bool) -> None:
    """Show what edgellm keeps on the disks, and what can be freed.

    OWN is what removing a bundle gives back, SHARED what other bundles use too. The cache of the Hugging Face tools is
    listed and belongs to all of them.
    """
    from edgellm.cli.console import print_json
    from edgellm.cli.context import open_store, user_settings
    from edgellm.sources.disk_usage import disk_usage

    settings = user_settings()
    usage = disk_usage(open_store(settings), settings.paths)
    if as_json:
        print_json(usage)
        return
    _print_bundles(usage)
    _print_places(usage)
    _print_disks(usage)


def _print_bundles(usage: DiskUsage) -> None:
    import sys

    from edgellm.cli.console import print_message, print_table, printable
    from edgellm.units import format_bytes

    bundles = [(store, bundle) for store in usage.stores for bundle in store.bundles]
    if not bundles:
        return
    print_table(
        ["BUNDLE", "OWN", "SHARED", "STORE"],
        [
            [
                printable(bundle.name),
                "damaged" if bundle.problem else format_bytes(bundle.own_bytes),
                format_bytes(bundle.shared_bytes),
                "system" if store.system else "user",
            ]
            for store, bundle in bundles
        ],
        right=(1, 2),
    )
    sys.stdout.write("\n")
    for _store, bundle in bundles:
        if bundle.problem:
            print_message(f"{bundle.name}: {bundle.problem}")


def _print_places(usage: DiskUsage) -> None:
    from edgellm.cli.console import print_table, printable
    from edgellm.units import format_bytes

    rows = [row for store in usage.stores for row in _store_rows(store)]
    for what, files in (("partial", usage.partial_downloads), ("finished", usage.finished_downloads)):
        rows.append((f"{what} downloads ({files.files})", files.size_bytes, "edgellm gc --cache", files.path))
    part = usage.partial_checkpoints
    if part.files:
        rows.append((f"partial checkpoints ({part.files})", part.size_bytes, "edgellm gc --cache", part.path))
    prefixes = usage.prefixes
    rows.append((f"saved prefixes ({prefixes.files})", prefixes.size_bytes, "edgellm cache clear", prefixes.path))
    prepared = usage.prepared
    if prepared.files:
        fix = "edgellm gc --cache"
        rows.append((f"prepared weights ({prepared.files})", prepared.size_bytes, fix, prepared.path))
    rows.append(("cache", usage.cache.size_bytes, "edgellm gc --cache", usage.cache.path))
    rows.append(("edgellm together", usage.total_bytes, "", ""))
    hub = usage.hub_cache
    fix = "edgellm gc --cache --hub-cache"
    rows.append((f"Hugging Face cache ({hub.files})", hub.size_bytes, fix, f"{hub.path}, of all its tools"))
    print_table(
        ["WHAT", "SIZE", "FREED BY", "WHERE"],
        [
            [what, "not known" if size is None else format_bytes(size), fix if size else "", printable(where)]
            for what, size, fix, where in rows
        ],
        right=(1,),
    )


def _store_rows(store: StoreUsage) -> list[Row]:
    if store.system:
        return [(f"machine's bundles ({len(store.bundles)})", store.total_bytes, "", store.root)]
    rows: list[Row] = [(f"bundles ({len(store.bundles)})", store.bundles_bytes, "edgellm rm NAME", store.root)]
    if store.former_bytes:
        rows.append(("former bundles", store.former_bytes, "edgellm rm NAME@previous", store.root))
    rows.append(("unused files", store.unused_bytes, "edgellm gc", store.root))
    return rows


def _print_disks(usage: DiskUsage) -> None:
    import sys

    from edgellm.cli.console import print_table, printable
    from edgellm.units import format_bytes

    sys.stdout.write("\n")
    print_table(
        ["DISK OF", "FREE", "SIZE"],
        [[printable(disk.path), format_bytes(disk.free_bytes), format_bytes(disk.total_bytes)] for disk in usage.disks],
        right=(1, 2),
    )
