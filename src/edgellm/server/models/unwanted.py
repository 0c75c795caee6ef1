"""Loads that are not wanted any more."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator

__all__ = ["Unwanted"]


class Unwanted:
    """What was said of loads by the digest of their bundle, for as long as somebody waits for them."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._said: dict[str, float] = {}  # digest -> when

    def __len__(self) -> int:
        return len(self._said)

    def say(self, digest: str) -> None:
        """Who waits for this load now does not want the model to stay; who comes later does."""
        if self._waiting[digest]:
            self._said[digest] = time.monotonic()

    @contextlib.contextmanager
    def waiting(self, digest: str, since: float) -> Iterator[Callable[[], bool]]:
        """Wait for a load in the block, for a request that came at ``since`` (of the monotonic clock).

        Gives what tells whether it was said since then that the load is not wanted.
        """
        self._waiting[digest] += 1
        try:
            yield lambda: self._said.get(digest, 0.0) > since
        finally:
            self._waiting[digest] -= 1
            if not self._waiting[digest]:
                del self._waiting[digest]
                self._said.pop(digest, None)
