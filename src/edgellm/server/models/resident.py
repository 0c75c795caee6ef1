"""One engine that is loaded: who uses it, under which names, until when."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Literal

from edgellm.bundle.opened import OpenBundle
from edgellm.devices.prediction import PredictedMemory

if TYPE_CHECKING:
    from edgellm_runtimes.engine import Engine

__all__ = ["Resident"]

State = Literal["ready", "draining", "unloading"]


class Resident:
    """A loaded bundle. ``draining``: its users may finish, and nobody joins them. Belongs to one event loop."""

    def __init__(
        self,
        bundle: OpenBundle,
        engine: Engine,
        memory: PredictedMemory,
        hold: contextlib.ExitStack,
        keep_alive_s: float,
    ) -> None:
        self.bundle = bundle
        self.engine = engine
        self.memory = memory
        self.keep_alive_s = keep_alive_s
        self.names: set[str] = set()  # full names that it serves: those of requests that joined it
        self.users = 0
        self.last_used = time.monotonic()
        self.state: State = "ready"
        self.refused_context = 0  # the smallest that it could not be given
        self.timer: asyncio.TimerHandle | None = None
        self._hold = hold

    @property
    def digest(self) -> str:
        """Of the bundle: the same bundle under two names is one engine."""
        return self.bundle.digest

    @property
    def context(self) -> int:
        """Tokens of one sequence."""
        return self.engine.info.context

    @property
    def needed_bytes(self) -> int:
        """What it takes when all that it reserves is in use."""
        return self.memory.total_bytes

    @property
    def mapped_bytes(self) -> int:
        """The part that the kernel counts as free, since it could be read again from the disk."""
        return self.memory.weights_bytes if self.engine.info.mmap else 0

    async def close(self) -> None:
        """Free the model; gc may have its files."""
        try:
            await self.engine.close()
        finally:
            self._hold.close()
