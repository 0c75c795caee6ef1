"""`edgellm gc --cache`: downloads, our cache, and on request the cache of the Hugging Face tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from edgellm.cli.console import print_message, print_warning
from edgellm.errors import UsageError
from edgellm.sources.caches import (
    cached_models,
    clear_cache,
    partial_checkpoints,
    remove_cached_models,
    remove_partial_checkpoints,
)
from edgellm.sources.download import list_downloads, remove_downloads
from edgellm.sources.snapshot import hub_cache
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.paths import Paths
    from edgellm.store.store import Store

__all__ = ["Cleaned", "clean_caches", "confirm_hub_cache", "print_cleaned"]


class Cleaned(msgspec.Struct, frozen=True):
    """What was removed, or would be in a dry run."""

    downloads: int
    downloads_bytes: int
    cache_bytes: int
    hub_models: int
    hub_bytes: int
    in_use: int  # downloads, cache entries and models that stay, because a process is using them
    freed_bytes: int


def confirm_hub_cache(yes: bool) -> bool:
    """Ask before other programs' models are removed. Raises UsageError where nobody can be asked."""
    import sys

    models = cached_models(hub_cache())
    if yes or not models:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            "nobody can be asked here whether the models of all Hugging Face tools may go",
            hint="say --yes to remove them without a question",
        )
    size = format_bytes(sum(model.size_bytes for model in models))
    names = ", ".join(model.name for model in models[:5]) + (" ..." if len(models) > 5 else "")
    question = f"Remove the models that all Hugging Face tools on this machine share ({size}: {names})?"
    return click.confirm(question, err=True)


def clean_caches(store: Store, paths: Paths, *, hub: bool, dry_run: bool) -> Cleaned:
    """Remove what no running process holds. Raises AccessError."""
    held = sum(download.held for download in list_downloads(store.downloads))
    downloads = remove_downloads(store.downloads, dry_run=dry_run)
    if not hub:  # else counted with their models
        held += sum(download.held for download in partial_checkpoints(hub_cache()))
    downloads += remove_partial_checkpoints(hub_cache(), dry_run=dry_run)
    cache_bytes, held_entries = clear_cache(paths.cache, dry_run=dry_run)
    held += held_entries
    models = remove_cached_models(hub_cache(), dry_run=dry_run) if hub else []
    held += sum(model.held for model in cached_models(hub_cache())) if hub else 0
    downloads_bytes = sum(download.size_bytes for download in downloads)
    hub_bytes = sum(model.size_bytes for model in models)
    return Cleaned(
        downloads=len(downloads),
        downloads_bytes=downloads_bytes,
        cache_bytes=cache_bytes,
        hub_models=len(models),
        hub_bytes=hub_bytes,
        in_use=held,
        freed_bytes=downloads_bytes + cache_bytes + hub_bytes,
    )


def print_cleaned(cleaned: Cleaned, verb: str) -> None:
    """One line for each kind."""
    print_message(f"{verb} {format_bytes(cleaned.downloads_bytes)}: downloads ({cleaned.downloads})")
    print_message(f"{verb} {format_bytes(cleaned.cache_bytes)}: edgellm's cache")
    if cleaned.hub_models:
        print_message(
            f"{verb} {format_bytes(cleaned.hub_bytes)}: {cleaned.hub_models} models of the Hugging Face cache"
        )
    if cleaned.in_use:
        print_warning(f"{cleaned.in_use} stay: a running process is using them")
