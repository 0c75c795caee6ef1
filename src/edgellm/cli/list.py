"""edgellm list"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option

__all__ = ["command"]


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List the bundles in the store.

    SIZE counts all files of a bundle, SHARED the part of it that other bundles use too. STORE tells the user's bundles
    from the machine's, where there are such: those can be used, exported and copied, not changed.
    """
    from edgellm.cli.console import print_json, print_message, print_table
    from edgellm.cli.context import open_store
    from edgellm.store.records import list_row
    from edgellm.units import format_bytes

    store = open_store()
    rows = [list_row(stored) for stored in store.list()]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print_message("the store is empty: `edgellm pull OWNER/MODEL` fetches a bundle, `edgellm pack` makes one")
        return
    stacked = store.system_root is not None
    print_table(
        ["NAME", *(["STORE"] if stacked else []), "DEVICE", "RECIPE", "PARAMS", "CONTEXT", "SIZE", "SHARED", "DIGEST"],
        [
            [
                row["name"],
                *([row["store"]] if stacked else []),
                row["device"] or "-",
                row["recipe"] or "-",
                row["parameters"] or "-",
                str(row["context"] or "-"),
                "damaged" if row["problem"] else format_bytes(row["size_bytes"]),
                format_bytes(row["shared_bytes"]),
                row["digest"].removeprefix("sha256:")[:12],
            ]
            for row in rows
        ],
        right=(4, 5, 6, 7) if stacked else (3, 4, 5, 6),
    )
    for row in rows:
        if row["problem"]:
            print_message(f"{row['name']}: {row['problem']}")
