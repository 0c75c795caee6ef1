"""GET /api/edgellm/changes: what has become otherwise, so that nobody needs to ask again and again."""

from __future__ import annotations

import msgspec

__all__ = ["Changes"]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """A number for each thing that can be asked for, another one whenever that has changed."""

    models: int  # what is loaded, on its way, in use, pinned
    jobs: int  # jobs that came, began, ended; not their progress
    store: int  # the bundles
