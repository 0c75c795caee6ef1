"""The end of a server that nobody needs any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

__all__ = ["IdleEnd"]

_LOOK_S = 0.5

_log = logging.getLogger("edgellm.server")


class IdleEnd:
    """Tells a server to stop once it has been idle for ``after_s`` seconds; None never does, ``keep`` neither."""

    def __init__(self, after_s: float | None) -> None:
        self.after_s = after_s

    def keep(self) -> None:
        """The server stays from now on, until a signal ends it."""
        self.after_s = None

    async def watch(self, is_needed: Callable[[], bool], stop: Callable[[], None]) -> None:
        """Call ``stop`` when ``is_needed`` has been false for so long; return then, or once it is to stay."""
        idle_since = time.monotonic()
        while self.after_s is not None:
            now = time.monotonic()
            if is_needed():
                idle_since = now
            elif now - idle_since >= self.after_s:
                _log.info("no client and no job for %g s: this server ends", self.after_s)
                stop()
                return
            await asyncio.sleep(_LOOK_S)
