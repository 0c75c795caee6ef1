"""Names that have moved to a bundle which cannot be loaded: the former one goes on serving."""

from __future__ import annotations

import time

import msgspec

from edgellm.bundle.opened import OpenBundle
from edgellm.errors import EdgeLLMError

__all__ = ["FailedMove", "FailedMoves"]

RETRY_S = 60.0


class FailedMove(msgspec.Struct, frozen=True):
    """One name that serves the bundle ``serving`` although it means ``wanted_digest``."""

    wanted_digest: str
    serving: OpenBundle
    error: EdgeLLMError
    failed_at: float  # time.monotonic
    since: float  # time.time


class FailedMoves:
    """By full name. Each is tried again after ``RETRY_S``, or at once when the name moves again."""

    def __init__(self) -> None:
        self._failed: dict[str, FailedMove] = {}

    def record(self, name: str, wanted_digest: str, serving: OpenBundle, error: EdgeLLMError) -> None:
        """``name`` moved to ``wanted_digest``, and that could not be loaded."""
        self._failed[name] = FailedMove(wanted_digest, serving, error, time.monotonic(), time.time())

    def settle(self, name: str, digest: str | None = None) -> None:
        """``name`` serves what it means, the bundle ``digest``; without one it means nothing any more."""
        failed = self._failed.get(name)
        if failed is not None and digest in (None, failed.wanted_digest):
            del self._failed[name]

    def serving(self, bundle: OpenBundle, *, retry: bool = False) -> FailedMove | None:
        """The move of the name of ``bundle`` to ``bundle`` that failed lately; None when it should be tried."""
        failed = self._failed.get(bundle.name)
        if failed is None:
            return None
        if failed.wanted_digest != bundle.digest:
            self.settle(bundle.name)
            return None
        return None if retry or time.monotonic() - failed.failed_at >= RETRY_S else failed

    def all(self) -> dict[str, FailedMove]:
        """Those that are not settled."""
        return dict(self._failed)
