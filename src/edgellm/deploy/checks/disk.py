"""Is there room for bundles and downloads?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from edgellm.deploy.checks.finding import Finding, fine, problem, skipped, warning
from edgellm.deploy.checks.machine import Machine
from edgellm.errors import EdgeLLMError
from edgellm.files import existing_parent
from edgellm.units import format_bytes

__all__ = ["check_disk"]

_FULL_BYTES = 64 << 20
_LITTLE_BYTES = 1 << 30  # the smallest useful models are about that large


def check_disk(machine: Machine) -> Iterator[Finding]:
    """Free bytes and free file entries where the store and the caches lie; one finding for each disk."""
    seen: set[int] = set()
    for what, folder in (("store", machine.paths.store), ("cache", machine.paths.cache)):
        existing = existing_parent(folder)
        try:
            number = existing.stat().st_dev
            facts = os.statvfs(existing)
        except OSError as error:
            yield skipped("disk", f"{folder} cannot be asked for its free space: {error.strerror}")
            continue
        if number not in seen:
            seen.add(number)
            yield _finding(what, folder, facts, machine)


def _finding(what: str, folder: Path, facts: os.statvfs_result, machine: Machine) -> Finding:
    if facts.f_flag & os.ST_RDONLY:
        return fine("disk", f"the disk of the {what} ({folder}) is mounted read-only: its free space does not matter")
    free, total = facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize
    words = f"{format_bytes(free)} of {format_bytes(total)} are free for the {what} ({folder})"
    if facts.f_files and facts.f_favail == 0:  # file systems without such a table say 0 of 0
        return problem(
            "disk", f"no new file can be made: the disk of the {what} ({folder}) has too many", _fix(machine)
        )
    if free < _FULL_BYTES:
        return problem("disk", words, _fix(machine))
    if free < _LITTLE_BYTES:
        return warning("disk", words, _fix(machine))
    return fine("disk", words)


def _fix(machine: Machine) -> str:
    """The command that gives space back here; none of edgellm's where it keeps nothing that could go."""
    from edgellm.sources.disk_usage import disk_usage
    from edgellm.store.store import Store

    paths = machine.paths
    try:
        usage = disk_usage(Store(paths.store, paths.state, paths.system_store), paths)
    except EdgeLLMError:
        return "edgellm df"  # it says why it cannot be told
    own = [store for store in usage.stores if not store.system]
    files = (usage.partial_downloads, usage.finished_downloads, usage.cache, usage.prefixes)
    if sum(kept.size_bytes for kept in files) + sum(store.unused_bytes or 0 for store in own):
        return "edgellm gc --cache"
    if any(store.bundles for store in own):
        return "edgellm df, then edgellm rm NAME of a bundle that can go, then edgellm gc"
    return "remove other files from this disk, or let EDGELLM_HOME name a folder on another one"
