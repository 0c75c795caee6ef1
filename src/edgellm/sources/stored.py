"""Bundles of the store that came from a hub: they are found again by what they were made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgellm.bundle.plan import Plan
    from edgellm.sources.hub.reference import HubReference
    from edgellm.store.listing import StoredBundle
    from edgellm.store.store import Store

__all__ = ["find_stored", "is_same_recipe"]


def find_stored(
    store: Store,
    reference: HubReference,
    device_id: str,
    *,
    revision: str | None = None,
    recipe: str | None = None,
    accept: Callable[[Plan], bool] | None = None,
) -> StoredBundle | None:
    """The bundle for ``device_id`` that was made from ``reference``, None without one.

    ``revision`` is the commit that it must come from; without it any does, unless the reference names one. ``recipe``
    is what it must be packed as, instead of what the reference asks for; ``accept`` has the last word.
    """
    for row in store.list():
        plan = row.plan
        if plan is None or row.problem is not None or plan.target.id != device_id:
            continue
        if not plan.source.url or plan.source.name.lower() != reference.repo_id.lower():
            continue
        if recipe is not None and plan.recipe != recipe:
            continue
        if accept is not None and not accept(plan):
            continue
        if _is_revision(plan, reference, revision) and _is_selected(plan, reference.selector):
            return row
    return None


def _is_revision(plan: Plan, reference: HubReference, revision: str | None) -> bool:
    if revision is not None:
        return plan.source.revision == revision
    from edgellm.sources.hub.reference import DEFAULT_REVISION

    return reference.revision == DEFAULT_REVISION or plan.source.revision.startswith(reference.revision)


def _is_selected(plan: Plan, selector: str | None) -> bool:
    if selector is None:
        return True
    if selector.lower().endswith(".gguf"):
        return selector.rpartition("/")[2] in plan.source.files
    return is_same_recipe(plan.recipe, selector)


def is_same_recipe(one: str, other: str) -> bool:
    """Whether two spellings mean one recipe: in any case, with the `UD-` of a publisher's own mixes or without."""
    return one.upper().removeprefix("UD-") == other.upper().removeprefix("UD-")
