"""Taking a bundle out of the store, with what was saved for it."""

from __future__ import annotations

import logging
from pathlib import Path

from edgellm.errors import EdgeLLMError
from edgellm.store.store import Store

__all__ = ["remove_bundle"]

_log = logging.getLogger("edgellm.server.models")


def remove_bundle(store: Store, prefixes: Path, name: str) -> list[str]:
    """Remove the full name ``name``, and the saved prefixes of models that no bundle needs any more. Blocks.

    Returns the names that are gone. Raises NotFoundError, NoSpaceError, AccessError for the machine's store.
    """
    from edgellm_runtimes.kv_store import PrefixFolder

    before = store.model_digests()
    removed = [str(entry) for entry in store.remove(name)]
    try:
        PrefixFolder(prefixes).remove_models(before - store.model_digests())
    except EdgeLLMError as error:  # a cache: what stays there is removed when it is full
        _log.warning("saved prefixes stay: %s", error)
    return removed
