"""Ids and stamps of answers."""

from __future__ import annotations

import secrets
import time

from edgellm.server.models.loaded import LoadedModel

__all__ = ["fingerprint", "new_id", "now_s"]


def new_id(prefix: str) -> str:
    """An id that no other answer has."""
    return f"{prefix}{secrets.token_hex(12)}"


def now_s() -> int:
    """Seconds since the epoch."""
    return int(time.time())


def fingerprint(model: LoadedModel) -> str:
    """The same for the same bundle."""
    return f"edgellm_{model.bundle.digest.removeprefix('sha256:')[:12]}"
