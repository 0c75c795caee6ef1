"""Memory for the next model: free, or taken from models that nobody uses."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from edgellm.api.models import Room
from edgellm.errors import DoesNotFitError
from edgellm.server.models.budget import Budget
from edgellm.server.models.choice import LoadChoice
from edgellm.server.models.refusal import does_not_fit, no_room_yet
from edgellm.server.models.resident import Resident
from edgellm.server.models.residents import Residents

if TYPE_CHECKING:
    from edgellm_runtimes.load import LoadForecast

__all__ = ["RoomMaker"]

WAIT_S = 60.0  # for models in use to finish


class RoomMaker:
    """Unloads for one load at a time: idle models first, the least recently used first of these, pinned ones never.

    Models in use that must go are drained: their requests finish, new ones wait until this load is done.
    """

    def __init__(self, residents: Residents, budget: Budget, wait_s: float = WAIT_S) -> None:
        self._residents = residents
        self._budget = budget
        self._wait_s = wait_s

    async def make(
        self, name: str, ways: list[LoadChoice], forecast: LoadForecast, moved: frozenset[str], *, force: bool
    ) -> LoadChoice:
        """The best of ``ways`` for which there is room, which is made if need be.

        ``moved`` are names that will mean the new model: they pin no former one. Raises DoesNotFitError when there
        cannot be room, BusyError when those that should go are in use for too long; then nothing has changed.
        """
        room = await self._budget.room()
        for way in ways:
            if way.total_bytes <= room.left_bytes:
                return way
        firm = [way for way in ways if not way.optional]
        chosen = self._reachable(firm, room, moved)
        if chosen is None:
            room = await self._budget.exact_room()
            chosen = self._reachable(firm, room, moved)
        if chosen is None:
            if not force:
                raise self._refusal(name, firm[0], forecast, room, moved)
            return firm[-1]
        if not await self._wait_for(name, chosen, room.server_bytes, moved):
            raise self._refusal(name, chosen, forecast, await self._budget.room(), moved)
        return chosen

    def _reachable(self, ways: list[LoadChoice], room: Room, moved: frozenset[str]) -> LoadChoice | None:
        """The best of ``ways`` that fits once all is unloaded that may be."""
        most = self._most_bytes(room, moved)
        return next((way for way in ways if way.total_bytes <= most), None)

    async def _wait_for(self, name: str, way: LoadChoice, server_bytes: int, moved: frozenset[str]) -> bool:
        """Unload until ``way`` fits. False when there is nothing left to unload: something else took the memory."""
        until = time.monotonic() + self._wait_s
        try:
            while True:
                room = await self._budget.room(server_bytes)
                if way.total_bytes <= room.left_bytes:
                    return True
                going = self._may_go(moved)
                idle = [resident for resident in going if resident.users == 0]
                if idle:
                    await self._residents.retire(idle[0])
                    continue
                if not going and not self._residents.any_leaving:
                    return way.total_bytes <= (await self._budget.exact_room(server_bytes)).left_bytes
                self._drain(way.total_bytes - room.left_bytes, going)
                if not await self._residents.wait_change(max(0.0, until - time.monotonic())):
                    raise no_room_yet(name, way, room, going, self._wait_s)
        finally:
            for resident in self._residents.all():
                if resident.state == "draining":
                    resident.state = "ready"
                    self._residents.rest(resident)

    def _most_bytes(self, room: Room, moved: frozenset[str]) -> int:
        """What could be had if all were unloaded that may be."""
        return self._budget.after(room, [*self._may_go(moved), *self._leaving()])

    def _refusal(
        self, name: str, way: LoadChoice, forecast: LoadForecast, room: Room, moved: frozenset[str]
    ) -> DoesNotFitError:
        going = self._may_go(moved)
        pinned = [resident for resident in self._residents.all() if resident not in going]
        most = self._most_bytes(room, moved)
        return does_not_fit(name, way, forecast, room, most, pinned, budget_is_set=self._budget.is_set)

    def _drain(self, missing_bytes: int, busy: Collection[Resident]) -> None:
        """Let nobody join as many of ``busy`` as have ``missing_bytes``."""
        for resident in [*self._leaving(), *busy]:
            if missing_bytes <= 0:
                return
            missing_bytes -= resident.needed_bytes
            if resident.state == "ready":
                resident.state = "draining"

    def _may_go(self, moved: frozenset[str]) -> list[Resident]:
        """In the order in which they go: those that no name will mean any more, then the least recently used."""
        going = [
            resident for resident in self._residents.all() if not self._residents.is_pinned(resident, apart_from=moved)
        ]
        return sorted(going, key=lambda resident: bool(resident.names - moved))

    def _leaving(self) -> list[Resident]:
        there = self._residents.all()
        return [resident for resident in self._residents.in_memory() if resident not in there]
