"""All engines of a server: found by bundle, kept alive, pinned, unloaded."""

from __future__ import annotations

import asyncio
import logging
import time

from edgellm.errors import EdgeLLMError
from edgellm.server.models.pins import Pins
from edgellm.server.models.resident import Resident

__all__ = ["Residents"]

_log = logging.getLogger("edgellm.server.models")


class Residents:
    """The loaded models, at most one for each bundle. All methods belong to one event loop."""

    def __init__(self, pins: Pins) -> None:
        self.pins = pins
        self._by_digest: dict[str, Resident] = {}
        self._leaving: dict[Resident, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def get(self, digest: str) -> Resident | None:
        """The engine of a bundle, unless it is being unloaded."""
        return self._by_digest.get(digest)

    def all(self) -> list[Resident]:
        """Those that are not being unloaded, the least recently used first."""
        return sorted(self._by_digest.values(), key=lambda resident: resident.last_used)

    def in_memory(self) -> list[Resident]:
        """All that take memory, those that are being unloaded too."""
        return [*self._by_digest.values(), *self._leaving]

    @property
    def any_leaving(self) -> bool:
        """True while one is being unloaded."""
        return bool(self._leaving)

    def named(self, name: str) -> list[Resident]:
        """Those that serve the full name ``name``: its bundle, and a former one of it that is still there."""
        return [resident for resident in self._by_digest.values() if name in resident.names]

    def is_pinned(self, resident: Resident, *, apart_from: frozenset[str] = frozenset()) -> bool:
        """True while a name of it is pinned, those ``apart_from`` not counted."""
        return any(name in self.pins for name in resident.names - apart_from)

    def add(self, resident: Resident) -> None:
        """Take in an engine that was just loaded; somebody must join it, or rest it."""
        assert resident.digest not in self._by_digest
        self._by_digest[resident.digest] = resident
        self._notify()

    def join(self, resident: Resident, names: set[str], users: int = 1) -> None:
        """``users`` more requests use it, under these names."""
        self._stop_timer(resident)
        for name in names - resident.names:
            for former in self.named(name):  # it means this bundle now
                self.forget_name(former, name)
        resident.users += users
        resident.names |= names
        resident.last_used = time.monotonic()

    def release(self, resident: Resident) -> None:
        """One request less."""
        resident.users -= 1
        resident.last_used = time.monotonic()
        if resident.users == 0:
            self.rest(resident)

    def rest(self, resident: Resident) -> None:
        """It may have become idle, or how long it stays may have changed: see to its end."""
        self._stop_timer(resident)
        self._notify()
        if resident.users or resident.state != "ready" or self._by_digest.get(resident.digest) is not resident:
            return
        if not resident.names:  # all its names mean other bundles by now
            self.retire(resident)
        elif self.is_pinned(resident) or resident.keep_alive_s < 0:
            return
        elif resident.keep_alive_s == 0:
            self.retire(resident)
        else:
            loop = asyncio.get_running_loop()
            resident.timer = loop.call_later(resident.keep_alive_s, self._expire, resident)

    def forget_name(self, resident: Resident, name: str) -> None:
        """``name`` means another bundle now, or none."""
        resident.names.discard(name)
        self.rest(resident)

    def retire(self, resident: Resident) -> asyncio.Task[None]:
        """Unload it, whoever uses it; the task ends when its memory is free."""
        task = self._leaving.get(resident)
        if task is None:
            self._stop_timer(resident)
            resident.state = "unloading"
            del self._by_digest[resident.digest]
            task = self._leaving[resident] = asyncio.get_running_loop().create_task(self._close(resident))
        return task

    async def wait_change(self, timeout_s: float) -> bool:
        """Wait until one has become idle, was unloaded or added; False after ``timeout_s``."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Unload all."""
        for resident in list(self._by_digest.values()):
            self.retire(resident)
        await asyncio.gather(*self._leaving.values(), return_exceptions=True)

    async def _close(self, resident: Resident) -> None:
        begun = time.monotonic()
        try:
            await resident.close()
        except EdgeLLMError as error:
            _log.warning("%s was not unloaded cleanly: %s", resident.bundle.name, error)
        finally:
            del self._leaving[resident]
            self._notify()
        _log.info("%s unloaded in %.2f s", resident.bundle.name, time.monotonic() - begun)

    def _expire(self, resident: Resident) -> None:
        resident.timer = None
        if resident.users == 0 and resident.state == "ready":
            self.retire(resident)

    def _stop_timer(self, resident: Resident) -> None:
        if resident.timer is not None:
            resident.timer.cancel()
            resident.timer = None

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
