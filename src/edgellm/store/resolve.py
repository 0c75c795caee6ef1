"""From what a user typed to one entry of the store."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from edgellm.bundle.names import Reference
from edgellm.errors import NotFoundError, UsageError
from edgellm.store.tags import TagEntry

__all__ = ["resolve_entry"]

_LOCAL = "local"  # what was packed for the machine itself serves it too, whatever profile it matches


def resolve_entry(
    entries: Sequence[TagEntry],
    reference: Reference,
    device_id: str | None,
    device_of: Callable[[TagEntry], str | None],
) -> TagEntry:
    """The entry that ``reference`` means.

    A name without a tag means its only tag, else the only one made for ``device_id``, else the only ``local`` one.
    ``device_of`` tells the device of an entry's plan, None when it cannot be read. Raises NotFoundError with near
    names, UsageError listing the tags.
    """
    named = [entry for entry in entries if entry.name.name == reference.name]
    if reference.tag is not None:
        named = [entry for entry in named if entry.name.tag == reference.tag]
    if not named:
        raise _not_found(entries, reference)
    if reference.digest is not None:
        matching = [entry for entry in named if entry.digest == reference.digest]
    else:
        matching = [entry for entry in named if entry.previous == reference.previous]
    if not matching:
        what = "a former bundle" if reference.previous else "a bundle with that digest"
        raise NotFoundError(
            f"{reference} is not in the store: {reference.name} has no such version",
            hint=f"`edgellm show {reference.name}` tells what it points at; there is {what} only after a tag has moved",
        )
    if len(matching) == 1 or reference.digest is not None:
        return matching[0]
    made_for: list[TagEntry] = []
    preferred = () if device_id is None else tuple(dict.fromkeys((device_id, _LOCAL)))
    for wanted in preferred:
        made_for = [entry for entry in matching if device_of(entry) == wanted]
        if len(made_for) == 1:
            return made_for[0]
        if made_for:
            device_id = wanted
            break
    choices = ", ".join(str(entry) for entry in made_for or matching)
    if made_for:
        about = f"for the device {device_id}"
    else:
        about = "and none of them is for this device" if device_id is not None else "and only one can be meant"
    raise UsageError(
        f"{reference.name} has {len(made_for or matching)} tags {about}: {choices}", hint="say which one: NAME:TAG"
    )


def _not_found(entries: Sequence[TagEntry], reference: Reference) -> NotFoundError:
    names = sorted({str(entry.name) for entry in entries} | {entry.name.name for entry in entries})
    wanted = f"{reference.name}:{reference.tag}" if reference.tag else reference.name
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    if not near and reference.tag:
        near = [str(entry.name) for entry in entries if entry.name.name == reference.name][:3]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = "`edgellm list` shows what is there"
    else:
        hint = "the store is empty: `edgellm pull OWNER/MODEL` fetches a bundle, `edgellm pack` makes one"
    return NotFoundError(f"there is no bundle {reference} in the store", hint=hint)
