"""Is the store whole, and may it be used?"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from edgellm.deploy.checks.finding import Finding, fine, problem, skipped, warning
from edgellm.deploy.checks.folders import access_problem, is_read_only
from edgellm.deploy.checks.machine import Machine
from edgellm.errors import AccessError, BusyError, EdgeLLMError
from edgellm.store.store import Store
from edgellm.units import format_bytes

__all__ = ["check_leftovers", "check_store"]

_MENTIONED_BYTES = 1 << 20


def check_store(machine: Machine) -> Iterator[Finding]:
    """Folder, permissions, index, and the manifests and plans of all bundles; weights are not read."""
    root = machine.paths.store
    cannot_read = access_problem(root, writes=False)
    if cannot_read is not None:
        yield problem("store", f"the store {cannot_read[0]}", cannot_read[1])
        return
    cannot_write = access_problem(root, writes=True, variable="EDGELLM_STORE")
    if cannot_write is not None and root.exists() and is_read_only(root):
        yield warning(
            "store",
            f"the store {cannot_write[0]}: its bundles run, none can be added",
            f"export EDGELLM_SYSTEM_STORE={shlex.quote(str(root))} EDGELLM_STORE=DIR with a folder for your own",
        )
    elif cannot_write is not None:
        report = warning if root.exists() else problem  # one that can be read still runs what is in it
        yield report("store", f"the store {cannot_write[0]}", cannot_write[1])
        if not root.exists():
            return
    try:
        bundles = _store(machine).list()
    except EdgeLLMError as error:
        yield problem("store", error.message, error.hint or "edgellm verify")
        return
    damaged = [stored.full_name for stored in bundles if stored.problem is not None]
    if damaged:
        yield problem(
            "store",
            f"{len(damaged)} of {len(bundles)} bundles cannot be read: {', '.join(damaged[:5])}",
            f"edgellm rm {damaged[0]}, then pack or pull it again",
        )
    elif cannot_write is None:
        shared = sum(stored.system for stored in bundles)
        count = f"{len(bundles)} bundles" if len(bundles) != 1 else "1 bundle"
        below = f", {shared} of them in the machine's store {machine.paths.system_store}" if shared else ""
        yield fine(
            "store", f"{count} in {root}{below}" if root.exists() or shared else f"{root} will be made when used"
        )


def check_leftovers(machine: Machine) -> Iterator[Finding]:
    """What `edgellm gc` would free."""
    root = machine.paths.store
    if not root.is_dir() or not os.access(root, os.W_OK):
        return
    try:
        report = _store(machine).gc(dry_run=True)
    except (AccessError, BusyError) as error:
        yield skipped("leftovers", error.message)
        return
    except EdgeLLMError:
        return  # the check of the store has said it
    if report.freed_bytes >= _MENTIONED_BYTES or report.leftovers:
        yield warning(
            "leftovers",
            f"{format_bytes(report.freed_bytes)} in the store belong to no bundle: {report.blobs} unused files, "
            f"{report.leftovers} leftovers of interrupted commands",
            "edgellm gc",
        )
    else:
        yield fine("leftovers", "nothing in the store is without use")


def _store(machine: Machine) -> Store:
    return Store(machine.paths.store, machine.paths.state, machine.paths.system_store)
