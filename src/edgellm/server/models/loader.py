"""Loading: one at a time, never twice, for as many requests as want it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgellm.api.models import LoadStatus
from edgellm.bundle.opened import OpenBundle
from edgellm.errors import BackendError, EdgeLLMError
from edgellm.server.models.budget import Budget
from edgellm.server.models.choice import LoadChoice, choices
from edgellm.server.models.load_progress import LoadProgress
from edgellm.server.models.moves import FailedMoves
from edgellm.server.models.policy import ModelPolicy
from edgellm.server.models.resident import Resident
from edgellm.server.models.residents import Residents
from edgellm.server.models.room_maker import RoomMaker
from edgellm.settings import SettingsWithOrigin

if TYPE_CHECKING:
    from edgellm_runtimes.load import LoadForecast, LoadRequest

__all__ = ["Load", "Loader"]

_log = logging.getLogger("edgellm.server.models")


@dataclass
class Load:
    """One load that is under way or waits for its turn, and how many requests wait for it."""

    bundle: OpenBundle
    context: int | None
    force: bool
    names: set[str]
    progress: LoadProgress
    task: asyncio.Task[Resident] = field(init=False)
    waiters: int = 0
    begun: float = field(default_factory=time.monotonic)

    def status(self) -> LoadStatus:
        """How far it has come."""
        at = self.progress
        return LoadStatus(at.current, at.done_bytes, at.total_bytes, time.monotonic() - self.begun)


class Loader:
    """Gives requests the engine of a bundle. All methods belong to one event loop."""

    def __init__(
        self,
        policy: ModelPolicy,
        settings: SettingsWithOrigin,
        residents: Residents,
        budget: Budget,
        moves: FailedMoves,
        room_maker: RoomMaker,
    ) -> None:
        self._policy = policy
        self._settings = settings
        self._residents = residents
        self._budget = budget
        self._moves = moves
        self._rooms = room_maker
        self._turn = asyncio.Lock()
        self._loads: dict[str, Load] = {}
        self._forecasts: dict[str, LoadForecast] = {}
        self._closed = False

    @property
    def loads(self) -> list[Load]:
        """Those that are under way or wait."""
        return list(self._loads.values())

    def reconfigure(self, policy: ModelPolicy, settings: SettingsWithOrigin) -> None:
        """For loads from now on."""
        self._policy, self._settings = policy, settings

    async def acquire(self, bundle: OpenBundle, context: int | None = None, *, force: bool = False) -> Resident:
        """The engine of ``bundle``, which the caller uses from now on: it releases it.

        Who is cancelled while it waits leaves the load to the others; without any it stops. Raises what loading raises.
        """
        resident = self._residents.get(bundle.digest)
        if resident is not None and resident.state == "ready" and not _should_grow(resident, context):
            self._residents.join(resident, {bundle.name})
            return resident
        if self._closed:
            raise BackendError("the server is stopping")
        load = self._loads.get(bundle.digest)
        if load is None:
            load = Load(bundle, context, force, {bundle.name}, LoadProgress(bundle.name))
            self._loads[bundle.digest] = load
            load.task = asyncio.get_running_loop().create_task(self._run(load))
        load.names.add(bundle.name)
        load.context = max(load.context or 0, context or 0) or None
        load.force = load.force or force
        load.waiters += 1
        try:
            return await asyncio.shield(load.task)
        except asyncio.CancelledError:
            self._leave(load)
            raise

    async def forecast(self, bundle: OpenBundle) -> LoadForecast:
        """What loading ``bundle`` takes."""
        found = self._forecasts.get(bundle.digest)
        if found is None:
            from edgellm_runtimes.load import LoadForecast

            found = await asyncio.to_thread(LoadForecast, self._request(bundle))
            self._forecasts[bundle.digest] = found
        return found

    async def close(self) -> None:
        """Stop what loads; nothing is loaded from now on."""
        self._closed = True
        tasks = [load.task for load in self._loads.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _leave(self, load: Load) -> None:
        load.waiters -= 1
        if load.task.done():
            if not load.task.cancelled() and load.task.exception() is None:
                self._residents.release(load.task.result())
        elif load.waiters == 0:
            self._forget(load)  # who comes now begins anew
            load.task.cancel()

    def _forget(self, load: Load) -> None:
        if self._loads.get(load.bundle.digest) is load:
            del self._loads[load.bundle.digest]

    async def _run(self, load: Load) -> Resident:
        try:
            async with self._turn:
                resident = self._residents.get(load.bundle.digest)
                if resident is None:
                    resident = await self._load(load)
                elif _should_grow(resident, load.context):
                    resident = await self._grow(resident, load)
                # In one go: nobody may unload it before those who waited have it.
                self._residents.join(resident, load.names, load.waiters)
                return resident
        except asyncio.CancelledError:
            if self._closed:
                raise BackendError("the server is stopping") from None
            raise
        finally:
            self._forget(load)

    async def _load(self, load: Load) -> Resident:
        """Load what is not there. Names whose former bundle is there keep that one when it fails."""
        names = frozenset(load.names)
        formers = self._formers(names)
        try:
            forecast = await self.forecast(load.bundle)
            room = await self._budget.room()
            ways = await asyncio.to_thread(choices, forecast, load.context, self._policy.parallel, room.models_bytes)
            way = await self._rooms.make(load.bundle.name, ways, forecast, names, force=load.force)
            resident = await self._start(load.bundle, way, load)
        except EdgeLLMError as error:
            for name, former in (formers | self._formers(load.names - names)).items():
                self._moves.record(name, load.bundle.digest, former, error)
                _log.error("%s has moved to a bundle that cannot be loaded, its former one serves: %s", name, error)
            raise
        for name in load.names:
            self._moves.settle(name, load.bundle.digest)
        return resident

    def _formers(self, names: Collection[str]) -> dict[str, OpenBundle]:
        """For those of ``names`` that something else serves so far, that."""
        return {
            name: dataclasses.replace(former.bundle, name=name)
            for name in names
            for former in self._residents.named(name)
        }

    async def _grow(self, resident: Resident, load: Load) -> Resident:
        """Load an idle model again with a larger context; where that does not go it stays as it is."""
        context = _reachable(resident, load.context or 0)
        resident.state = "draining"  # nobody joins while we look
        try:
            forecast = await self.forecast(resident.bundle)
            sequences = resident.engine.info.sequences
            way = LoadChoice(context, sequences, forecast.memory(forecast.settings(context, sequences)))
            room = await self._budget.exact_room()
            if way.total_bytes > self._budget.after(room, [resident]) and not load.force:
                resident.refused_context = context
                _log.info(
                    "%s stays at a context of %d: %d need more memory than there is",
                    resident.bundle.name,
                    resident.context,
                    context,
                )
                return resident
        finally:
            resident.state = "ready"
        former = LoadChoice(resident.context, sequences, resident.memory)
        _log.info("%s is loaded again for a context of %d", resident.bundle.name, context)
        await self._residents.retire(resident)
        load.names |= resident.names
        try:
            grown = await self._start(resident.bundle, way, load)
        except EdgeLLMError as error:
            _log.warning("%s cannot have a context of %d: %s", resident.bundle.name, context, error)
            grown = await self._start(resident.bundle, former, load)
            grown.refused_context = context
        grown.keep_alive_s = resident.keep_alive_s
        return grown

    async def _start(self, bundle: OpenBundle, way: LoadChoice, load: Load) -> Resident:
        from edgellm_runtimes.engine import Engine

        begun = time.monotonic()
        with contextlib.ExitStack() as hold:
            await _hold(bundle, hold)
            request = self._request(bundle, way, force=load.force)
            if self._policy.isolation == "process":
                from edgellm_runtimes.llama_cpp.library import explain_aborts

                explain_aborts()
            load.progress.phase("starting")
            engine = await Engine.load(request, isolation=self._policy.isolation, progress=load.progress)
            resident = Resident(bundle, engine, way.memory, hold.pop_all(), self._policy.keep_alive_s)
        self._residents.add(resident)
        _log.info(
            "%s loaded in %.2f s: context %d, %d answers at a time",
            bundle.name,
            time.monotonic() - begun,
            engine.info.context,
            engine.info.sequences,
        )
        return resident

    def _request(self, bundle: OpenBundle, way: LoadChoice | None = None, *, force: bool = False) -> LoadRequest:
        from edgellm_runtimes.load import bundle_request

        return bundle_request(
            bundle,
            context=None if way is None else way.context,
            sequences=None if way is None else way.sequences,
            threads=self._settings.values.threads or None,
            prepared_folder=self._settings.paths.prepared,
            prefix_folder=self._settings.paths.prefixes,
            prefix_cap_bytes=self._settings.values.prefix_cache_mib << 20,
            prefix_daily_bytes=self._settings.values.prefix_daily_mib << 20,
            save_chats=self._policy.cache_chats,
            force=force,
        )


async def _hold(bundle: OpenBundle, hold: contextlib.ExitStack) -> None:
    """Keep the files of ``bundle`` until ``hold`` closes. Raises NotFoundError when they are gone."""
    holding = asyncio.ensure_future(asyncio.to_thread(hold.enter_context, bundle.hold()))
    try:
        await asyncio.shield(holding)
    except asyncio.CancelledError:  # the thread goes on
        holding.add_done_callback(lambda _done: hold.close())
        raise


def _reachable(resident: Resident, context: int) -> int:
    """No more than the model was trained for."""
    return min(context, resident.engine.info.trained_context or context)


def _should_grow(resident: Resident, context: int | None) -> bool:
    """True when a larger context is wanted, nobody uses the model, and it was not refused before."""
    if context is None or resident.users:
        return False
    wanted = _reachable(resident, context)
    return wanted > resident.context and (not resident.refused_context or wanted < resident.refused_context)
