"""edgellm rm"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option, yes_option

__all__ = ["command"]


@click.command("rm")
@click.argument("names", nargs=-1, required=True)
@yes_option
@json_option
def command(names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove bundles from the store.

    NAME[:TAG] goes with its former version, NAME@previous alone. The space comes back with `edgellm gc`. Prefixes that
    were saved for a model go with the last bundle of it.
    """
    import sys

    from edgellm.cli.console import print_json, print_message
    from edgellm.cli.context import open_store, user_settings
    from edgellm.cli.prefixes import removed_with
    from edgellm.errors import UsageError

    settings = user_settings()
    store = open_store(settings)
    entries = [store.find(name) for name in names]
    for entry in entries:
        store.require_own(entry)
    found = list(dict.fromkeys(str(entry) for entry in entries))
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError("nobody can be asked here", hint="say --yes to remove without a question")
        if not click.confirm(f"Remove {', '.join(found)}?", err=True):
            print_message("kept")
            return
    before = store.model_digests()
    removed = [str(entry) for name in found for entry in store.remove(name)]
    prefixes = removed_with(before - store.model_digests(), settings.paths.prefixes)
    if as_json:
        print_json({"removed": removed, "prefixes": prefixes})
    else:
        saved = f" and {prefixes.entries} saved prefixes" if prefixes.entries else ""
        print_message(f"removed {', '.join(removed)}{saved}; `edgellm gc` frees the space")
