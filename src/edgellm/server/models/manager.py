"""Which models are loaded: on demand, within a memory budget, for as long as they are used."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from edgellm.api.models import ModelStatus, Room
from edgellm.bundle.opened import OpenBundle
from edgellm.errors import EdgeLLMError, NotFoundError, UsageError
from edgellm.server.config import ServerConfig
from edgellm.server.http.concealing import Concealer
from edgellm.server.models.budget import Budget
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.models.loader import Loader
from edgellm.server.models.moves import FailedMove, FailedMoves
from edgellm.server.models.names import ModelNames
from edgellm.server.models.pins import Pins
from edgellm.server.models.policy import model_policy
from edgellm.server.models.resident import Resident
from edgellm.server.models.residents import Residents
from edgellm.server.models.room_maker import RoomMaker
from edgellm.server.models.status import loading_status, resident_status
from edgellm.server.models.unwanted import Unwanted
from edgellm.settings import SettingsWithOrigin
from edgellm.store.store import Store

if TYPE_CHECKING:
    from edgellm_runtimes.load import LoadForecast

__all__ = ["ModelManager"]

_PINS_FILE = "server-pins.json"

_log = logging.getLogger("edgellm.server.models")


class ModelManager:
    """Loads models on demand and shares them. All methods belong to one event loop."""

    def __init__(self, config: ServerConfig, settings: SettingsWithOrigin, store: Store) -> None:
        """Raises UsageError for settings that are off."""
        self.policy = model_policy(config, settings)
        self.pins = Pins(settings.paths.state / _PINS_FILE)
        self._store = store
        self._names = ModelNames(store, settings)
        self._residents = Residents(self.pins)
        self._budget = Budget(self.policy, self._residents)
        self._moves = FailedMoves()
        self._conceal = Concealer(settings.paths, store.root)
        self._unwanted = Unwanted()
        rooms = RoomMaker(self._residents, self._budget)
        self._loader = Loader(self.policy, settings, self._residents, self._budget, self._moves, rooms)

    def reconfigure(self, config: ServerConfig, settings: SettingsWithOrigin) -> None:
        """Take over settings that were read again. Models that are loaded stay as they are. Raises UsageError."""
        self.policy = self._budget.policy = model_policy(config, settings)
        self._loader.reconfigure(self.policy, settings)
        self._names = ModelNames(self._store, settings)

    async def resolve(self, name: str) -> OpenBundle:
        """The bundle that a client calls ``name``. Raises NotFoundError, UsageError, BundleError."""
        try:
            return await self._names.resolve(name)
        except NotFoundError:
            for resident in self._residents.named(name):  # it was removed: nobody can ask for it any more
                self._residents.forget_name(resident, name)
            raise

    @contextlib.asynccontextmanager
    async def use(
        self, name: str, *, keep_alive_s: float | None = None, context: int | None = None, force: bool = False
    ) -> AsyncIterator[LoadedModel]:
        """The model ``name``, loaded if it is not, for as long as the block runs.

        ``keep_alive_s``: how long it stays loaded afterwards, below 0 for ever; None is the server's own. ``context``:
        tokens that the request wants to have room for; None is the plan's. A model that is loaded is given a larger one
        only while nobody else uses it: ``LoadedModel.note`` says when it has less. ``force``: load what does not fit.
        Raises NotFoundError, DoesNotFitError, BusyError, and what loading raises.
        """
        if context is not None and context < 1:
            raise UsageError(f"the context is {context}; it must be at least 1 token")
        begun = time.monotonic()
        bundle = await self.resolve(name)
        with self._unwanted.waiting(bundle.digest, begun) as is_unwanted:
            resident, failed = await self._acquire(bundle, context, force=force)
            unwanted = is_unwanted()
        try:
            if unwanted:
                resident.keep_alive_s = 0
            else:
                resident.keep_alive_s = self.policy.keep_alive_s if keep_alive_s is None else keep_alive_s
            served = bundle if failed is None else failed.serving
            load_s, note = time.monotonic() - begun, self._conceal.text(_note(resident, context, failed))
            yield LoadedModel(served, resident.engine, load_s, note, saves_chats=self.policy.cache_chats)
        finally:
            self._residents.release(resident)

    async def load(
        self, name: str, *, keep_alive_s: float | None = None, context: int | None = None, force: bool = False
    ) -> ModelStatus:
        """Load ``name`` and leave it there for as long as it is kept alive. Raises what ``use`` raises."""
        async with self.use(name, keep_alive_s=keep_alive_s, context=context, force=force) as loaded:
            digest = loaded.bundle.digest
        resident = self._residents.get(digest)
        if resident is None:
            kept_s = self.policy.keep_alive_s if keep_alive_s is None else keep_alive_s
            why = "keep_alive is 0" if kept_s == 0 else "it was told to go, or was removed or replaced, meanwhile"
            raise UsageError(f"{name} was loaded and unloaded at once: {why}")
        return await self._status(resident)

    async def unload(self, name: str) -> bool:
        """Unload ``name`` as soon as its requests are done, those too that wait for its load.

        True when it is gone, False while requests use it or wait for it. Raises NotFoundError for a name that means
        nothing, UsageError for a pinned model, loaded or still loading.
        """
        bundle = await self.resolve(name)
        found = {resident.digest: resident for resident in self._residents.named(bundle.name)}
        same = self._residents.get(bundle.digest)
        if same is not None:
            found[same.digest] = same
        loads = [load for load in self._loader.loads if load.bundle.digest == bundle.digest]
        names = [resident.names for resident in found.values()] + [load.names for load in loads]
        if any(name in self.pins for name in set().union(*names)):
            raise UsageError(f"{bundle.name} is pinned: it stays loaded", hint="unpin it first")
        if loads:
            self._unwanted.say(bundle.digest)
        for resident in found.values():
            resident.keep_alive_s = 0
            if resident.users == 0 and resident.state == "ready":
                await self._residents.retire(resident)
        return not loads and all(resident.state == "unloading" for resident in found.values())

    async def pin(self, name: str, pinned: bool) -> str:
        """Keep ``name`` loaded from now on, over restarts too, or no longer; returns its full name.

        It is loaded with the next request, or by ``load``. Raises NotFoundError, UsageError, NoSpaceError, AccessError.
        """
        full_name = await self._pinned_name(name, pinned)
        await asyncio.to_thread(self.pins.set, full_name, pinned)
        for resident in self._residents.named(full_name):
            self._residents.rest(resident)
        return full_name

    async def renamed(self, old: str, new: str) -> None:
        """The full name ``old`` is ``new`` from now on: what is loaded goes on under it, pinned as it was."""
        for resident in self._residents.named(old):
            resident.names = (resident.names - {old}) | {new}
        if old in self.pins:
            await asyncio.to_thread(self.pins.set, new, True)
            await asyncio.to_thread(self.pins.set, old, False)

    async def removed(self, name: str) -> None:
        """The full name ``name`` is gone: what served it alone is unloaded, or will be once its requests are done."""
        await asyncio.to_thread(self.pins.set, name, False)
        self._moves.settle(name)
        for resident in self._residents.named(name):
            self._residents.forget_name(resident, name)
            if resident.state == "unloading":
                await asyncio.shield(self._residents.retire(resident))  # its files are free then

    async def load_pinned(self) -> None:
        """Load what is pinned, one after the other; what cannot be loaded is in the log."""
        for name in self.pins.names:
            try:
                async with self.use(name):
                    pass
            except EdgeLLMError as error:
                _log.error("the pinned model %s cannot be loaded: %s", name, error)

    async def statuses(self) -> list[ModelStatus]:
        """Every model that is loaded, being loaded or being unloaded."""
        there = [await self._status(resident) for resident in self._residents.in_memory()]
        return there + [loading_status(load, self.pins) for load in self._loader.loads]

    async def room(self) -> Room:
        """The memory of models."""
        return await self._budget.room()

    async def forecast(self, bundle: OpenBundle) -> LoadForecast:
        """What loading ``bundle`` takes."""
        return await self._loader.forecast(bundle)

    @property
    def engines(self) -> dict[str, Resident]:
        """What is loaded, by the digest of its bundle."""
        return {resident.digest: resident for resident in self._residents.all()}

    @property
    def loading(self) -> list[str]:
        """The names of models that load, or wait for it."""
        return [load.bundle.name for load in self._loader.loads]

    @property
    def failed_moves(self) -> dict[str, FailedMove]:
        """Names that serve their former bundle, since what they mean could not be loaded."""
        return self._moves.all()

    async def close(self) -> None:
        """Unload everything; what loads is stopped."""
        await self._loader.close()
        await self._residents.close()

    async def _acquire(
        self, bundle: OpenBundle, context: int | None, *, force: bool
    ) -> tuple[Resident, FailedMove | None]:
        failed = self._moves.serving(bundle, retry=force)
        if failed is None:
            try:
                return await self._loader.acquire(bundle, context, force=force), None
            except EdgeLLMError:
                failed = self._moves.serving(bundle)
                if failed is None:
                    raise
        resident = await self._loader.acquire(failed.serving, context)
        return resident, failed

    async def _pinned_name(self, name: str, pinned: bool) -> str:
        try:
            return (await self.resolve(name)).name
        except NotFoundError:
            if pinned or name not in self.pins:  # what is gone may still be unpinned
                raise
            return name

    async def _status(self, resident: Resident) -> ModelStatus:
        return await resident_status(resident, self.pins, self._conceal)


def _note(resident: Resident, context: int | None, failed: FailedMove | None) -> str:
    notes = []
    if failed is not None:
        notes.append(
            f"{failed.serving.name} has moved to {failed.wanted_digest}, which cannot be loaded "
            f"({failed.error}): its former bundle answers"
        )
    if context is not None and context > resident.context:
        trained = resident.engine.info.trained_context
        why = (
            f"the model was trained for {trained}"
            if trained and context > trained == resident.context
            else "that is what it is loaded with"
        )
        notes.append(f"a context of {context} was asked for; it is {resident.context}: {why}")
    return "; ".join(notes)
