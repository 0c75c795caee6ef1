"""How much memory models may take, and how much of it is left."""

from __future__ import annotations

import asyncio
import functools

from edgellm.api.models import Room
from edgellm.server.models.footprint import own_bytes
from edgellm.server.models.policy import ModelPolicy
from edgellm.server.models.resident import Resident
from edgellm.server.models.residents import Residents

__all__ = ["Budget"]

_SERVER_BYTES = 96 << 20  # of a server whose own share cannot be told from that of the models in it
_GROWTH_BYTES = 48 << 20  # what the server may still take: buffers of requests, processes for templates and grammars


class Budget:
    """The memory of one server. Models count with what they may come to take, not with what they take now."""

    def __init__(self, policy: ModelPolicy, residents: Residents) -> None:
        self.policy = policy
        self._residents = residents

    @property
    def is_set(self) -> bool:
        """True when a user has set it; else it is what is free."""
        return self.policy.budget_bytes is not None

    async def room(self, server_bytes: int | None = None) -> Room:
        """What is left now; ``server_bytes`` is the server's own share where it was measured before."""
        server, limit = await asyncio.to_thread(self._measure, server_bytes)
        there = self._residents.in_memory()
        models = limit if self.policy.budget_bytes is None else limit - server
        left = models - sum(resident.needed_bytes for resident in there)
        free = await asyncio.to_thread(_free_bytes)
        if free is not None:
            # The kernel counts mapped weights as free: to take them would mean to read them again at every step.
            left = min(left, free - sum(resident.mapped_bytes for resident in there))
        return Room(models_bytes=max(0, models), left_bytes=left, server_bytes=server)

    async def exact_room(self, server_bytes: int | None = None) -> Room:
        """``room`` once this process has given back what it holds for nothing: ask before a refusal."""
        from edgellm_runtimes.heap import trim_heap

        await asyncio.to_thread(trim_heap)
        return await self.room(server_bytes)

    def _measure(self, server: int | None) -> tuple[int, int]:
        if server is None:
            in_process = self.policy.isolation == "process"
            server = _SERVER_BYTES if in_process else own_bytes() + _GROWTH_BYTES
        budget = self.policy.budget_bytes
        return server, _machine_bytes() if budget is None else budget

    def after(self, room: Room, gone: list[Resident]) -> int:
        """``left_bytes`` once ``gone`` are unloaded."""
        return room.left_bytes + sum(resident.needed_bytes for resident in gone)


def _free_bytes() -> int | None:
    from edgellm.devices.local import available_memory_bytes

    return available_memory_bytes()


@functools.cache
def _machine_bytes() -> int:
    """The memory of this machine, or of the container around us, less what the system keeps."""
    from edgellm.devices.local import detect_local
    from edgellm.devices.memory import os_reserve_bytes
    from edgellm.errors import UnsupportedError

    try:
        memory = detect_local().memory
    except UnsupportedError:  # what is free decides alone
        return 1 << 62
    return memory.size_bytes - os_reserve_bytes(memory)
