"""The API key of this user's clients."""

from __future__ import annotations

import os

__all__ = ["key_headers"]


def key_headers() -> dict[str, str]:
    """The header with the key of EDGELLM_API_KEY; none where it is not set."""
    key = os.environ.get("EDGELLM_API_KEY")
    return {"authorization": f"Bearer {key}"} if key else {}
