"""GET /api/edgellm/ps and POST /api/edgellm/stop: what is loaded, and unloading it."""

from __future__ import annotations

import msgspec

__all__ = ["LoadedStatus", "StopAnswer", "StopRequest"]


class LoadedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is in memory, on its way there, or on its way out."""

    name: str
    digest: str
    state: str  # loading, ready, draining, unloading, restarting
    pinned: bool = False
    requests: int = 0  # that use it, or wait for it
    needed_bytes: int | None = None  # when all that it reserves is in use
    used_bytes: int | None = None  # now; None where it shares the server's process
    context: int | None = None  # tokens of one conversation
    expires_in_s: float | None = None  # None while it is in use, or stays for ever
    pid: int | None = None  # of its process


class StopRequest(msgspec.Struct, frozen=True):
    """Which model to unload."""

    model: str


class StopAnswer(msgspec.Struct, frozen=True):
    """False while requests use it: it is unloaded once they are done."""

    unloaded: bool
